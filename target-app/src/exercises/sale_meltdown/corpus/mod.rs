//! Solutions of `sale-meltdown` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn reserve(desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError>;

    guarded_update "guarded-update" Tempting "Takes the permit with a conditional update, writes the rest, and commits."
    sale_mutex "sale-mutex" Tempting "Has the buyers of a sale take turns in the server, before they take a connection."
    session_lock "session-lock" Tempting "Holds an advisory lock of the session until after the commit."
    compare_and_set "compare-and-set" Tempting "Sets the counter if it is still what was read, five times at most."
    serializable "serializable" Tempting "Leaves the races to SERIALIZABLE, and tries ten times."
    skip_locked "skip-locked" Tempting "Puts a buyer who finds the permits locked onto the waiting list."
    nowait "nowait" Tempting "Asks a buyer who finds the permits locked to come back."
    second_connection "second-connection" Tempting "Locks the permits in a transaction, and reads beside it."
    shared_batch "shared-batch" Tempting "Reserves for all buyers who wait in one transaction, and one that fails fails all."
    cached_sale "cached-sale" Tempting "Remembers for a second what is left, and has the table's constraint refuse what is not."
    sold_out_flag "sold-out-flag" Tempting "Remembers which sales were sold out, and puts their buyers onto the waiting list at once."
    remembered_buyers "remembered-buyers" Tempting "Answers a buyer from memory for ten seconds."
    waiting_in_background "waiting-in-background" Tempting "Answers a buyer who has to wait, and writes that down in the background."
    everyone_waits_first "everyone-waits-first" Tempting "Answers that the buyer waits, and gives the piece in the background."
    permits_in_blocks "permits-in-blocks" Tempting "Each server takes 20 permits at a time and gives them out from memory."
    counts_rows "counts-rows" Tempting "Counts the reservations instead of the permits; the counter follows."
    by_ticket "by-ticket" Tempting "Whoever has a ticket among the first has a piece."
    first_come "first-come" Tempting "One statement that takes a permit whenever there is one."
    nothing_on_conflict "nothing-on-conflict" Tempting "One statement that leaves a second click's reservation out."
    gives_back "gives-back" Tempting "Takes a permit, writes the reservation down, and gives the permit back when that fails."
    unique_violation "unique-violation" Tempting "One statement, and the unique index for the second click."
    mail_after_commit "mail-after-commit" Tempting "Reserves in one statement, and sends the confirmation before it answers."
    mail_spawned "mail-spawned" Tempting "Reserves in one statement, and sends the confirmation in a task, up to twenty times."
    mail_batches "mail-batches" Tempting "Collects confirmations in memory and sends them once a second."
    job_afterwards "job-afterwards" Tempting "Reserves in one statement, and has the confirmation sent with another one."
    mail_before_permit "mail-before-permit" Tempting "Writes the reservation, sends the confirmation, takes the permit and commits."
    mail_key_of_the_buyer "mail-key-of-the-buyer" Tempting "Sends the confirmation at once, besides the job, under a key of the buyer."

    hot_row_last "hot-row-last" Fixed "Joins the waiting list, and takes the permit with the last statement of the transaction."
    check_constraint "check-constraint" Fixed "Reserves as if there were a piece, and waits when the table's constraint refuses."
    buyer_lock "buyer-lock" Fixed "Has a buyer's clicks take turns by an advisory lock, and reserves with the last statement."
    joins_then_promoted "joins-then-promoted" Fixed "Puts everybody onto the waiting list, and gives out pieces up to the buyer."
    waiting_list_first "waiting-list-first" Fixed "Leaves the permits alone when others wait or nothing is left."
    stored_function "stored-function" Fixed "A function in the database joins the waiting list, locks the permits, and takes one."
    group_commit "group-commit" Fixed "Buyers who come at the same time share a transaction; what is odd is reserved alone."
    mail_at_once "mail-at-once" Fixed "Takes the job of its reservation like a worker, and sends the confirmation in a task."
    answers_after_mail "answers-after-mail" Fixed "Sends the confirmation before it answers, with a job for when that comes to nothing."
}
