//! Solutions of `hung-payments` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn process(
        pool: &PgPool,
        providers: &Providers,
        request: &PaymentRequest,
        screening: Screening
    ) -> Result<Payment, PaymentError>;

    without_transaction "without-transaction" Tempting "Statement by statement on the pool, without bounds for the calls."
    deadline_only "deadline-only" Tempting "Gives each call a second, and makes as many as arrive."
    tenth_of_a_second "tenth-of-a-second" Tempting "Calls without a connection, and gives up after a tenth of a second."
    fails_open "fails-open" Tempting "Charges without the fraud check while that is not there."
    fails_closed "fails-closed" Tempting "Declines the card while the fraud check is not there."
    resumes_unchecked "resumes-unchecked" Tempting "Asks the fraud check only for a payment that is new."
    side_by_side "side-by-side" Tempting "Asks the fraud check and charges the card at the same time."
    key_per_attempt "key-per-attempt" Tempting "Sends each attempt to charge under a key of its own."
    numbered_attempts "numbered-attempts" Tempting "Charges up to three times, each attempt with its number in the key."
    clears_up "clears-up" Tempting "Deletes a payment that came to nothing, so that the order can be paid anew."
    stale_after_a_minute "stale-after-a-minute" Tempting "Begins a payment anew when it has been processing for a minute."
    takes_over "takes-over" Tempting "Whoever pays an order that is being paid takes the payment over, under a new id."
    records_afterwards "records-afterwards" Tempting "Records a payment when the card is charged, and nothing before."
    keys_in_memory "keys-in-memory" Tempting "Keeps the key of each order that is being paid in memory."
    settles_in_background "settles-in-background" Tempting "Answers when the card is charged, and settles the payment in the background."
    pays_in_background "pays-in-background" Tempting "Answers that the payment is processing, and pays in the background."
    paid_first "paid-first" Tempting "Marks the order as paid, charges the card, and takes the mark back when that fails."
    unanswered_is_declined "unanswered-is-declined" Tempting "Takes a charge without an answer for one that was declined."
    queue_per_order "queue-per-order" Tempting "One attempt at a time for each order; the others wait for it."
    one_bulkhead "one-bulkhead" Tempting "Has 32 places for payments, with and without a fraud check."
    one_guard "one-guard" Tempting "Guards both services as one: their calls share places and a breaker."
    waits_for_a_place "waits-for-a-place" Tempting "Has 32 places for fraud checks, and waits until one is free."
    breaker_stays_open "breaker-stays-open" Tempting "Leaves a service alone after ten failures in a row, until one of its calls is answered."
    lost_trial "lost-trial" Tempting "A breaker that lets one call at a time find out whether the service is back."
    counted_by_hand "counted-by-hand" Tempting "Counts the calls that are under way, and refuses the thirty-third."
    orders_in_work "orders-in-work" Tempting "Refuses an order that is being paid already, by a set of the orders in work."
    declines_trip "declines-trip" Tempting "Counts a card that is not accepted as a failure of the service."
    advisory_lock "advisory-lock" Tempting "Holds an advisory lock of the order on a connection, without a transaction."
    one_connection "one-connection" Tempting "Takes one connection for the whole payment, and commits each statement."
    own_pool "own-pool" Tempting "Pays in one transaction, over ten connections of its own."
    few_transactions "few-transactions" Tempting "Pays in one transaction, six at a time with a fraud check and two without."
    locked_row "locked-row" Tempting "Records the payment, and locks its row while the others are called."
    wide_bulkhead "wide-bulkhead" Tempting "Has places for 256 calls to each service."
    four_places "four-places" Tempting "Has places for four calls to each service."
    fraud_check_guarded "fraud-check-guarded" Tempting "Bounds the calls to the fraud check, and not those to the payment provider."
    once_more "once-more" Tempting "Asks a service that does not answer within a second once more."
    two_steps "two-steps" Tempting "Records that the payment succeeded, then that the order is paid."
    settles_by_order "settles-by-order" Tempting "Settles what the order has of payments."
    looks_then_begins "looks-then-begins" Tempting "Looks whether the order has a payment, and records one when it has none."

    places_and_deadlines "places-and-deadlines" Fixed "Places and a deadline for the calls to each service, without a breaker."
    short_wait_for_a_place "short-wait-for-a-place" Fixed "Waits for a place, but not for long, and for the answer likewise."
    key_of_the_order "key-of-the-order" Fixed "Charges under a key made of the order and the card, so that any server finds the charge again."
    workers "workers" Fixed "Workers take payments from short lines, one line with a fraud check and one without."
    settles_under_a_lock "settles-under-a-lock" Fixed "Records and settles in two transactions; the second one locks the payment and looks at it again."
    deadline_for_all "deadline-for-all" Fixed "Places apart for payments with and without a fraud check, and a deadline for the whole of each."
    goes_on_alone "goes-on-alone" Fixed "A payment that was begun goes on in a task of its own, also when the buyer has left."
    joined "joined" Fixed "Attempts to pay one order at the same time share the calls of the first."
    verdicts_kept "verdicts-kept" Fixed "Keeps what the fraud check said of a payment, and does not ask again when the payment is sent again."
    charges_again "charges-again" Fixed "Sends a charge without an answer again, under the same key, within one deadline."
    two_steps_order_first "two-steps-order-first" Fixed "Records that the order is paid, then that the payment succeeded."
    refuses_the_second "refuses-the-second" Fixed "Refuses an order that is being paid already until that is over."
}
