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

    one_join "one-join" Fixed "One statement joins the page, its items and their products."
    json_items "json-items" Fixed "The database puts the items of each order together as JSON."
    names_apart "names-apart" Fixed "Three statements: the orders, their items, the products' names."
    one_snapshot "one-snapshot" Fixed "Two statements in one transaction, of one snapshot."
    page_in_memory "page-in-memory" Fixed "Reads all orders and cuts the page out of them."
    unnested "unnested" Fixed "Arrays of items, made by a lateral subquery for each order of the page."
}
