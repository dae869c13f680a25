use tokio::sync::OnceCell;

use super::*;

/// The sums are kept.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    READY.get_or_try_init(|| keep_sums(pool)).await?;
    let totals: Option<(i64, Cents)> =
        sqlx::query_as("SELECT orders, cents FROM sales_totals WHERE restaurant_id = $1")
            .bind(restaurant)
            .fetch_optional(pool)
            .await?;
    let dishes: Vec<(Uuid, String, i64, Cents)> = sqlx::query_as(
        "SELECT menu_item_id, name, quantity, cents
         FROM sales_dishes JOIN menu_items ON menu_items.id = menu_item_id
         WHERE sales_dishes.restaurant_id = $1 ORDER BY quantity DESC, menu_item_id LIMIT $2",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(pool)
    .await?;
    let items = dishes
        .into_iter()
        .map(|(menu_item_id, name, quantity, revenue)| TopItem { menu_item_id, name, quantity, revenue });
    let (orders, revenue) = totals.unwrap_or((0, Cents(0)));
    Ok(Analytics::new(orders, revenue, items.collect()))
}

/// Each order adds itself to the sums, in its own transaction, so they are never behind.
async fn keep_sums(pool: &PgPool) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    // One server makes them; no order comes between the first sums and the triggers.
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7102);
         LOCK TABLE restaurant_orders, restaurant_order_items IN SHARE ROW EXCLUSIVE MODE",
    )
    .execute(&mut *db)
    .await?;
    let made: bool =
        sqlx::query_scalar("SELECT to_regclass('sales_totals') IS NOT NULL").fetch_one(&mut *db).await?;
    if !made {
        sqlx::raw_sql(SUMS).execute(&mut *db).await?;
    }
    db.commit().await
}

const SUMS: &str = "
         CREATE TABLE sales_totals (
             restaurant_id UUID PRIMARY KEY, orders BIGINT NOT NULL, cents BIGINT NOT NULL
         );
         CREATE TABLE sales_dishes (
             restaurant_id UUID, menu_item_id UUID, quantity BIGINT NOT NULL, cents BIGINT NOT NULL,
             PRIMARY KEY (restaurant_id, menu_item_id)
         );
         INSERT INTO sales_totals
             SELECT restaurant_id, count(*), sum(total_cents)::bigint
             FROM restaurant_orders WHERE status <> 'cancelled' GROUP BY restaurant_id;
         INSERT INTO sales_dishes
             SELECT restaurant_id, menu_item_id, sum(quantity)::bigint, sum(quantity * unit_price_cents)::bigint
             FROM restaurant_orders JOIN restaurant_order_items ON order_id = restaurant_orders.id
             WHERE status <> 'cancelled' GROUP BY restaurant_id, menu_item_id;
         CREATE FUNCTION add_order() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO sales_totals AS sums VALUES (NEW.restaurant_id, 1, NEW.total_cents)
             ON CONFLICT (restaurant_id) DO UPDATE
                 SET orders = sums.orders + 1, cents = sums.cents + excluded.cents;
             RETURN NULL;
         END $$;
         CREATE FUNCTION add_line() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO sales_dishes AS sums
                 SELECT restaurant_id, NEW.menu_item_id, NEW.quantity, NEW.quantity * NEW.unit_price_cents
                 FROM restaurant_orders WHERE id = NEW.order_id
             ON CONFLICT (restaurant_id, menu_item_id) DO UPDATE
                 SET quantity = sums.quantity + excluded.quantity, cents = sums.cents + excluded.cents;
             RETURN NULL;
         END $$;
         CREATE TRIGGER add_order AFTER INSERT ON restaurant_orders FOR EACH ROW EXECUTE FUNCTION add_order();
         CREATE TRIGGER add_line AFTER INSERT ON restaurant_order_items FOR EACH ROW EXECUTE FUNCTION add_line()";
