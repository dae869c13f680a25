//! Solutions of `slow-order-list` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>>;

    batches_of_ten "batches-of-ten" Tempting "Asks for the items of ten orders at once."
    background_lookups "background-lookups" Tempting "Moves the look-ups into a task."
    names_kept "names-kept" Tempting "Keeps the names of products, and still asks for the items of each order."
    price_of_today "price-of-today" Tempting "Takes the price from the product that is joined anyway."
    total_of_items "total-of-items" Tempting "Adds the total up from the items, at today's prices."
    lines_limited "lines-limited" Tempting "One join of orders, items and products, with the limit on its rows."
    latest_hundred "latest-hundred" Tempting "Lists the latest hundred orders, as any list does."
    without_cancelled "without-cancelled" Tempting "Leaves out orders that were cancelled."
    time_alone "time-alone" Tempting "Goes on after a page by the time alone."
    items_in_turn "items-in-turn" Tempting "Reads all items in the sequence of the orders and deals them out."
    kept_for_a_second "kept-for-a-second" Tempting "Two statements, their result kept for a second."
    joined_flight "joined-flight" Tempting "Who asks while a list is being made gets that list."
    second_connection "second-connection" Tempting "Takes a second connection while it holds one."
    newest_order_tag "newest-order-tag" Tempting "Keeps a list while the database says that no newer order has come."
    orphaned_flight "orphaned-flight" Tempting "Who asks while a list is being made shares the next one."
    side_by_side "side-by-side" Tempting "Both statements at once, on two connections."
    each_order_once "each-order-once" Tempting "Looks up the items of each order once and keeps them."
    names_locked "names-locked" Tempting "Locks the products, so that no name changes in between."
    batched_users "batched-users" Tempting "All lists that are asked for within a millisecond share two statements."
    tied_rows "tied-rows" Tempting "One statement with the page in a subquery, sorted by time and product."
    range_scan "range-scan" Tempting "Goes on after a page by time and id, each compared alone."

    one_join "one-join" Fixed "One statement joins the page, its items and their products."
    json_items "json-items" Fixed "The database puts the items of each order together as JSON."
    names_apart "names-apart" Fixed "Three statements: the orders, their items, the products' names."
    one_snapshot "one-snapshot" Fixed "Two statements in one transaction, of one snapshot."
    page_in_memory "page-in-memory" Fixed "Reads all orders and cuts the page out of them."
    unnested "unnested" Fixed "Arrays of items, made by a lateral subquery for each order of the page."
    streamed_join "streamed-join" Fixed "Folds the rows of one join into orders as they come."
    validated "validated" Fixed "Keeps a list with a fingerprint of its rows, which the database compares each time."
    next_flight "next-flight" Fixed "Who comes before a read begins shares it."
    side_by_side_mended "side-by-side-mended" Fixed "Both statements at once, and one more for what the other snapshot did not have."
    json_lines "json-lines" Fixed "One statement, a row an order, its lines as JSON."
}
