use tokio::sync::OnceCell;

use super::*;

/// The sums are kept.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    READY.get_or_try_init(|| keep_sums(pool)).await?;
    // One statement, so totals and best sellers are of one moment.
    let dishes: Vec<Row> = sqlx::query_as(
        "SELECT coalesce(totals.orders, 0), coalesce(totals.cents, 0), best.menu_item_id, name, quantity, best.cents
         FROM (SELECT $1::uuid AS id) AS restaurant
         LEFT JOIN sales_totals AS totals ON totals.restaurant_id = restaurant.id
         LEFT JOIN LATERAL (
             SELECT menu_item_id, name, quantity, cents
             FROM sales_dishes JOIN menu_items ON menu_items.id = menu_item_id
             -- What was cancelled altogether is in the table with nothing sold.
             WHERE sales_dishes.restaurant_id = restaurant.id AND quantity > 0
             ORDER BY quantity DESC, menu_item_id LIMIT $2
         ) AS best ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(pool)
    .await?;
    Ok(summed_up(dishes))
}

/// Every change adds itself to the sums, in its own transaction, so they are never behind.
async fn keep_sums(pool: &PgPool) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    // One server makes them; no change comes between the first sums and the triggers.
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

         -- An order that begins or ceases to count takes its lines along. Lines by dish, so that all who change several
         -- sums lock them in one sequence.
         CREATE FUNCTION add_order(changed restaurant_orders, sign integer) RETURNS void LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO sales_totals AS sums VALUES (changed.restaurant_id, sign, sign * changed.total_cents)
             ON CONFLICT (restaurant_id) DO UPDATE
                 SET orders = sums.orders + excluded.orders, cents = sums.cents + excluded.cents;
             INSERT INTO sales_dishes AS sums
                 SELECT changed.restaurant_id, menu_item_id, sign * quantity, sign * quantity * unit_price_cents
                 FROM restaurant_order_items WHERE order_id = changed.id ORDER BY menu_item_id
             ON CONFLICT (restaurant_id, menu_item_id) DO UPDATE
                 SET quantity = sums.quantity + excluded.quantity, cents = sums.cents + excluded.cents;
         END $$;
         CREATE FUNCTION order_changed() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF TG_OP <> 'INSERT' AND OLD.status <> 'cancelled' THEN
                 PERFORM add_order(OLD, -1);
             END IF;
             IF TG_OP = 'UPDATE' AND NEW.status <> 'cancelled' THEN
                 PERFORM add_order(NEW, 1);
             END IF;
             -- A new order has no lines that were counted; those that came with it count themselves.
             IF TG_OP = 'INSERT' AND NEW.status <> 'cancelled' THEN
                 INSERT INTO sales_totals AS sums VALUES (NEW.restaurant_id, 1, NEW.total_cents)
                 ON CONFLICT (restaurant_id) DO UPDATE
                     SET orders = sums.orders + 1, cents = sums.cents + excluded.cents;
             END IF;
             RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
         END $$;
         CREATE FUNCTION line_changed() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             -- Lines that go with their order find it gone, and it has taken them along.
             INSERT INTO sales_dishes AS sums
                 SELECT restaurant_id, line.menu_item_id, sum(line.quantity), sum(line.quantity * line.unit_price_cents)
                 FROM (
                     SELECT OLD.order_id, OLD.menu_item_id, -OLD.quantity AS quantity, OLD.unit_price_cents
                     WHERE TG_OP <> 'INSERT'
                     UNION ALL
                     SELECT NEW.order_id, NEW.menu_item_id, NEW.quantity, NEW.unit_price_cents WHERE TG_OP <> 'DELETE'
                 ) AS line JOIN restaurant_orders ON restaurant_orders.id = line.order_id AND status <> 'cancelled'
                 GROUP BY restaurant_id, line.menu_item_id ORDER BY line.menu_item_id
             ON CONFLICT (restaurant_id, menu_item_id) DO UPDATE
                 SET quantity = sums.quantity + excluded.quantity, cents = sums.cents + excluded.cents;
             RETURN NULL;
         END $$;
         CREATE TRIGGER order_added AFTER INSERT OR UPDATE OF id, restaurant_id, status, total_cents
             ON restaurant_orders FOR EACH ROW EXECUTE FUNCTION order_changed();
         -- Before, because afterwards its lines are gone.
         CREATE TRIGGER order_deleted BEFORE DELETE
             ON restaurant_orders FOR EACH ROW EXECUTE FUNCTION order_changed();
         CREATE TRIGGER line_changed AFTER INSERT OR UPDATE OR DELETE
             ON restaurant_order_items FOR EACH ROW EXECUTE FUNCTION line_changed()";

/// The totals, and one of the best sellers, which are absent where nothing was sold.
type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

fn summed_up(dishes: Vec<Row>) -> Analytics {
    let (orders, revenue) = dishes.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = dishes.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Analytics::new(orders, revenue, items.collect())
}
