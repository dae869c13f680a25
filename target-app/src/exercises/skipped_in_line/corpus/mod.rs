//! Solutions of `skipped-in-line` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn pass_on(pool: &PgPool, sale: Uuid) -> sqlx::Result<bool>;

    compare_and_set "compare-and-set" Tempting "Takes a permit if there is one, and holds it for the first in line if this buyer still waits."
    update_of_subselect "update-of-subselect" Tempting "Finds the first in line and holds a piece for this buyer in one update."
    locks_the_buyer "locks-the-buyer" Tempting "Locks the first in line, and leaves the row that everybody wants for last."
    skip_locked "skip-locked" Tempting "Gives out all that is free to those whom nobody else has locked."
    permit_afterwards "permit-afterwards" Tempting "Holds a piece for the first in line, commits, and then counts the permit."
    saves_the_count "saves-the-count" Tempting "Reads the permits, locks the first in line, and writes the new count back."
    one_statement "one-statement" Tempting "One statement that takes a permit and gives it to the first in line."
    one_of_the_first "one-of-the-first" Tempting "Gives the piece to one of the first ten, so that releases hardly ever want the same buyer."
    sale_mutex "sale-mutex" Tempting "Has the releases of a sale take turns in the server."
    session_lock "session-lock" Tempting "Has releases take turns by an advisory lock of the session."
    confirms_first "confirms-first" Tempting "Locks the permits, and leaves the confirmation as a job before anything else."
    job_batches "job-batches" Tempting "Locks the permits, and writes the jobs of all confirmations down once a second."
    piece_batches "piece-batches" Tempting "Takes a permit at once, and gives out what has come together twice a second."
    all_that_is_free "all-that-is-free" Tempting "Locks the permits, gives out all that is free, and confirms what the statement returns."
    backs_off "backs-off" Tempting "Tries again after a pause that doubles when somebody else was quicker."

    like_the_worker "like-the-worker" Fixed "Does what the worker does: one statement gives out all that is free."
    permit_first "permit-first" Fixed "Takes a permit with a conditional update, and then looks who is first in line."
    serializable "serializable" Fixed "Leaves the races to SERIALIZABLE, and tries twenty times."
    transaction_lock "transaction-lock" Fixed "Has releases take turns by an advisory lock of the transaction; the worker may be quicker."
    tries_again "tries-again" Fixed "Locks nothing to read, and starts again when the first in line has got a piece meanwhile."
    stored_function "stored-function" Fixed "A function in the database locks the permits and gives one to the first in line."
    in_background "in-background" Fixed "Answers at once, and gives out what is free in a task."
    busy_is_later "busy-is-later" Fixed "Gives out all that is free, and leaves it to the worker when the permits are locked."
}
