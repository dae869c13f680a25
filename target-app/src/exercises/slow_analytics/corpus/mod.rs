//! Solutions of `slow-analytics` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics>;

    all_orders "all-orders" Tempting "One grouped statement over all orders."
    best_sellers_of_all "best-sellers-of-all" Tempting "Totals of the orders that count, best sellers of all lines."
    menu_price "menu-price" Tempting "Takes the price of a dish from the menu that is joined anyway."
    ties_by_name "ties-by-name" Tempting "Five best sellers by quantity, then by name."
    by_revenue "by-revenue" Tempting "Five best sellers by what they brought in."
    lines_counted "lines-counted" Tempting "Counts in how many orders a dish was."
    whole_menu "whole-menu" Tempting "Starts from the menu, so that no dish needs to be looked up."
    fan_out "fan-out" Tempting "Joins orders and lines once and sums both."
    distinct_totals "distinct-totals" Tempting "Joins orders and lines once and sums each total once."
    rounded_average "rounded-average" Tempting "Lets the database make the average as well."
    sums_in_floats "sums-in-floats" Tempting "Sums in currency units, as doubles."
    sums_in_i32 "sums-in-i32" Tempting "Sums in 32 bits, as the quantities are."
    row_expected "row-expected" Tempting "Groups by restaurant and fetches its one row."
    latest_thousand "latest-thousand" Tempting "Sums up the latest thousand orders."
    pages_of_500 "pages-of-500" Tempting "Reads the orders with their lines in pages of 500."
    background_lookups "background-lookups" Tempting "Moves the look-ups into a task."
    known_dishes "known-dishes" Tempting "Reads the dishes' names once and keeps them."
    kept_for_ever "kept-for-ever" Tempting "Sums up once and keeps the result."
    kept_for_seconds "kept-for-seconds" Tempting "Keeps the result for ten seconds."
    view_made_once "view-made-once" Tempting "Reads from a materialized view."
    view_by_timer "view-by-timer" Tempting "Reads from materialized views that are refreshed every few seconds."
    joined_flight "joined-flight" Tempting "Who asks while a statement is under way gets its result."
    session_isolation "session-isolation" Tempting "Leaves the connection at REPEATABLE READ."
    tie_margin "tie-margin" Tempting "Reads the twenty best dishes and sorts them here, without a sequence among equals."
    second_connection "second-connection" Tempting "Takes a second connection while it holds one."
    watermark "watermark" Tempting "Adds the orders made since the last time to the sums kept until then."
    leader_leaves "leader-leaves" Tempting "Whoever asks first computes for all who wait, within its own request."

    two_statements "two-statements" Fixed "A statement for the totals and one for the best sellers, of one snapshot."
    three_statements "three-statements" Fixed "Totals, best sellers and their names, of one snapshot."
    json_answer "json-answer" Fixed "The database makes the whole answer as JSON, in one row."
    windows "windows" Fixed "One statement with window functions."
    all_lines "all-lines" Fixed "One statement reads all lines; they are summed here."
    kept_sums "kept-sums" Fixed "Sums that triggers keep with every change, read by key."
    versioned_cache "versioned-cache" Fixed "Keeps the result with a version that every change of the data raises."
    boarding_flight "boarding-flight" Fixed "Whoever asks before the statement is sent shares it."
    same_snapshot "same-snapshot" Fixed "Keeps the result while the database says that nothing has changed."
}
