//! Solutions of `double-charge` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn check_out(shop: &Shop<'_>, key: &str, checkout: &Checkout) -> Result<Answer, KeyedError>;

    new_key_each_time "new-key-each-time" Tempting "Looks the key up, and forgets it when the provider does not answer."
    cancels_on_error "cancels-on-error" Tempting "Cancels the order and forgets the key when the provider does not answer."
    error_is_declined "error-is-declined" Tempting "Takes a provider that does not answer for one that declines."
    assumes_declined "assumes-declined" Tempting "Declines and cancels what a crashed server has left."
    starts_afresh "starts-afresh" Tempting "Cancels what a crashed server has left, and places a new order."
    short_lease "short-lease" Tempting "Lets others take a key over after 100 ms, with a new order."
    held_for_ever "held-for-ever" Tempting "Claims the key with its order, for ever."
    minute_lease "minute-lease" Tempting "Lets others take a key over after a minute."
    order_after_claim "order-after-claim" Tempting "Claims the key, then places the order, then writes down which."
    new_provider_key "new-provider-key" Tempting "Gives each call of the provider a key of its own."
    one_transaction "one-transaction" Tempting "Claims the key, charges and answers in one transaction."
    one_transaction_clients_key "one-transaction-clients-key" Tempting "The same, with the client's key for the provider."
    charged_first "charged-first" Tempting "Charges with the client's key, and places the order when the money is there."
    advisory_lock_alone "advisory-lock-alone" Tempting "Holds an advisory lock of the key, and writes the key down at the end."
    lock_with_the_key "lock-with-the-key" Tempting "Locks the key's row until the end, and refuses a second click at once."
    session_lock "session-lock" Tempting "Keeps the order with its key, and holds an advisory lock of the session."
    row_lock_and_pool "row-lock-and-pool" Tempting "Waits at the key's row, and records the payment on another connection."
    keyed_mutex "keyed-mutex" Tempting "Has the requests with a key take turns, and writes the key down at the end."
    in_the_background "in-the-background" Tempting "Checks out in a task that all requests with the key wait for."
    under_way_set "under-way-set" Tempting "Refuses keys that it is busy with from memory, before the database."
    heartbeat "heartbeat" Tempting "Renews its hold of the key in the background, for as long as the charge takes."
    free_if_not_locked "free-if-not-locked" Tempting "Skips a key that is locked, and begins where none is found."
    unique_violation "unique-violation" Tempting "Leaves it to the primary key to refuse a second click."
    answer_before_charge "answer-before-charge" Tempting "Stores the response before it charges, and corrects it afterwards."
    current_order "current-order" Tempting "Answers a repeated request with the order as it is now."
    declines_forgotten "declines-forgotten" Tempting "Forgets the key when the card is declined."
    forgets_soon "forgets-soon" Tempting "Forgets each key after three seconds."
    same_cart "same-cart" Tempting "Compares the cart of a repeated request, and not the card."
    total_compared "total-compared" Tempting "Compares the user, the card and the number of pieces."
    without_request "without-request" Tempting "Answers whatever request has the key."
    cached_answers "cached-answers" Tempting "Keeps answers in memory by their keys, in front of the database."
    same_purchase "same-purchase" Tempting "Takes the same purchase within ten seconds for a repeated one, whatever its key."
    folded_keys "folded-keys" Tempting "Takes no account of capitals in keys."
    short_keys "short-keys" Tempting "Looks at the first 64 characters of a key."

    saga "saga" Fixed "Writes each step into a table of its own, and whoever comes later goes on from there."
    everyone_charges "everyone-charges" Fixed "Whoever finds no response sends the order's key to the provider, and the first response is kept."
    waits_without_connection "waits-without-connection" Fixed "A second click waits for the response, without a connection."
    finished_in_a_task "finished-in-a-task" Fixed "Goes on when the client has left."
    key_of_user_and_client "key-of-user-and-client" Fixed "Claims with one conditional update, and derives the provider's key."
    skip_locked_claim "skip-locked-claim" Fixed "Refuses a key whose row is locked, instead of waiting."
}
