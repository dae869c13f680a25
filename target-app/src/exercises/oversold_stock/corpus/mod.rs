//! Solutions of `oversold-stock` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError>;

    takes_one_piece "takes-one-piece" Tempting "Compares the stock with the quantity, and takes one piece."
    guard_without_quantity "guard-without-quantity" Tempting "Takes the quantity while any piece is left."
    anchor_first "anchor-first" Tempting "Locks the product with the smallest id first, the others in the cart's sequence."
    largest_first "largest-first" Tempting "Takes the largest quantity first."
    scarcest_first "scarcest-first" Tempting "Takes the scarcest product first, so that a cart fails early."
    merged_in_a_map "merged-in-a-map" Tempting "Adds the lines up in a hash map and takes the products in its sequence."
    unordered_update "unordered-update" Tempting "Takes the whole cart in one statement, in whatever sequence."
    retry_on_deadlock "retry-on-deadlock" Tempting "Takes in the cart's sequence and tries again after a deadlock."
    lock_table "lock-table" Tempting "Looks the products up, then locks the table."
    zipped_rows "zipped-rows" Tempting "Locks all rows by id and pairs them with the cart's lines as they come."
    snapshot_statement "snapshot-statement" Tempting "Reads, compares and writes in one statement."
    order_after_commit "order-after-commit" Tempting "Commits the stock first and writes the order without holding locks."
    order_first "order-first" Tempting "Writes the order first and deletes it when the stock is short."
    write_behind "write-behind" Tempting "Answers when the stock is taken and writes the order in the background."
    nowait "nowait" Tempting "Refuses a product that another checkout holds, instead of waiting."
    skip_locked "skip-locked" Tempting "Skips a product that another checkout holds."
    serializable_once "serializable-once" Tempting "Leaves the races to SERIALIZABLE."
    optimistic_stock "optimistic-stock" Tempting "Writes the stock if it is still what was read, three times at most."
    total_of_unit_prices "total-of-unit-prices" Tempting "Lets the database add up the total from the products' prices."
    double_click_guard "double-click-guard" Tempting "Answers the same cart of the same user with the order that it has just placed."
    batched_checkouts "batched-checkouts" Tempting "Collects carts, places them by product, and answers all of them."
    missing_is_short "missing-is-short" Tempting "Takes with one conditional statement; no row means that stock is short."
    constraint_is_short "constraint-is-short" Tempting "Lets the constraints refuse, and answers that stock is short."
    line_by_line "line-by-line" Tempting "Conditional statements without a transaction."
    compensated "compensated" Tempting "Takes line by line and gives back what was taken when one fails."
    session_lock "session-lock" Tempting "Holds an advisory lock of the session from the first read to the commit."
    guarded_session_lock "guarded-session-lock" Tempting "The same, with the lock released whatever the checkout came to."
    lease_row "lease-row" Tempting "Leases each product in a table of locks, and ends the lease afterwards."
    in_memory_stock "in-memory-stock" Tempting "Counts the stock in memory; the table follows."
    sold_out_cache "sold-out-cache" Tempting "Remembers which products were sold out and refuses them without the database."
    sells_what_is_left "sells-what-is-left" Tempting "Sells as many pieces as are left of each line."
    second_connection "second-connection" Tempting "Takes the stock in a transaction and reads the product beside it."

    lock_all_rows "lock-all-rows" Fixed "Locks all rows of the cart by id in one statement, then compares and writes."
    ordered_update "ordered-update" Fixed "One update for the whole cart, on rows locked by id, with the rows counted."
    serializable_retry "serializable-retry" Fixed "SERIALIZABLE, repeated until it goes through, a few checkouts at a time."
    product_locks "product-locks" Fixed "Advisory locks of the transaction, one a product, in one sequence."
    check_constraint "check-constraint" Fixed "Takes without comparing and lets the table's own constraint refuse."
    one_statement "one-statement" Fixed "Locks, compares, takes and writes the order in a single statement."
    stored_function "stored-function" Fixed "A function in the database takes the cart's products by id."

    shared_batch "shared-batch" Tempting "Carts that wait share a transaction, and one mistake fails all of them."
    misnamed_line "misnamed-line" Tempting "Takes all lines at once, and names the last one when any is short."
    own_connections "own-connections" Tempting "Buys over connections beside the pool, and never replaces a broken one."

    sorted_key_locks "sorted-key-locks" Fixed "Locks the products by sorted advisory keys before it reads them."
    group_commit "group-commit" Fixed "Carts that wait share a transaction; what is odd is bought one by one."
}
