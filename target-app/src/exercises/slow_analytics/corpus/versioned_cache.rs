use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::*;

/// The versions are kept.
static READY: OnceCell<()> = OnceCell::const_new();

/// What each restaurant's orders came to, at which version.
static KEPT: LazyLock<Mutex<HashMap<Uuid, (i64, Analytics)>>> = LazyLock::new(Mutex::default);

pub async fn analytics(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
    READY.get_or_try_init(|| keep_versions(pool)).await?;
    // Whoever changes the data raises the version in the same transaction: one is never seen without the other. So the
    // version and the sums have to be of one snapshot as well.
    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let version: Option<i64> =
        sqlx::query_scalar("SELECT version FROM sales_versions WHERE restaurant_id = $1")
            .bind(restaurant)
            .fetch_optional(&mut *db)
            .await?;
    let version = version.unwrap_or(0);
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&restaurant).cloned();
    if let Some((of, analytics)) = kept
        && of == version
    {
        db.commit().await?;
        return Ok(analytics);
    }
    let dishes: Vec<Row> = sqlx::query_as(
        "WITH counted AS (
             SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'
         ), sold AS (
             SELECT menu_item_id, sum(quantity)::bigint AS quantity, sum(quantity * unit_price_cents)::bigint AS cents
             FROM restaurant_order_items JOIN counted ON counted.id = order_id
             GROUP BY menu_item_id ORDER BY quantity DESC, menu_item_id LIMIT $2
         )
         SELECT totals.orders, totals.cents, sold.menu_item_id, menu_items.name, sold.quantity, sold.cents
         FROM (SELECT count(*) AS orders, coalesce(sum(total_cents), 0)::bigint AS cents FROM counted) AS totals
         LEFT JOIN (sold JOIN menu_items ON menu_items.id = sold.menu_item_id) ON true",
    )
    .bind(restaurant)
    .bind(TOP_ITEMS as i64)
    .fetch_all(&mut *db)
    .await?;
    db.commit().await?;
    let analytics = summed_up(dishes);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(restaurant, (version, analytics.clone()));
    Ok(analytics)
}

/// Makes the triggers that raise a restaurant's version whenever something changes that its analytics show.
async fn keep_versions(pool: &PgPool) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(7103)").execute(&mut *db).await?;
    let made: bool =
        sqlx::query_scalar("SELECT to_regclass('sales_versions') IS NOT NULL").fetch_one(&mut *db).await?;
    if !made {
        sqlx::raw_sql(VERSIONS).execute(&mut *db).await?;
    }
    db.commit().await
}

const VERSIONS: &str = "
         CREATE TABLE sales_versions (restaurant_id UUID PRIMARY KEY, version BIGINT NOT NULL);
         CREATE FUNCTION raise_version(changed uuid) RETURNS void LANGUAGE sql AS $$
             INSERT INTO sales_versions AS known VALUES (changed, 1)
             ON CONFLICT (restaurant_id) DO UPDATE SET version = known.version + 1
         $$;
         -- Orders and dishes name their restaurant. Of an update, both sides may be different ones.
         CREATE FUNCTION row_changed() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF TG_OP <> 'INSERT' THEN PERFORM raise_version(OLD.restaurant_id); END IF;
             IF TG_OP <> 'DELETE' THEN PERFORM raise_version(NEW.restaurant_id); END IF;
             RETURN NULL;
         END $$;
         CREATE FUNCTION line_changed() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM raise_version(restaurant_id) FROM restaurant_orders
             WHERE id = CASE TG_OP WHEN 'INSERT' THEN NEW.order_id ELSE OLD.order_id END;
             PERFORM raise_version(restaurant_id) FROM restaurant_orders
             WHERE TG_OP = 'UPDATE' AND id = NEW.order_id;
             RETURN NULL;
         END $$;
         CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE ON restaurant_orders
             FOR EACH ROW EXECUTE FUNCTION row_changed();
         CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE ON restaurant_order_items
             FOR EACH ROW EXECUTE FUNCTION line_changed();
         CREATE TRIGGER raise_version AFTER UPDATE OF name ON menu_items
             FOR EACH ROW EXECUTE FUNCTION row_changed()";

/// The totals, and one of the best sellers, which are absent where nothing was sold.
type Row = (i64, Cents, Option<Uuid>, Option<String>, Option<i64>, Option<Cents>);

fn summed_up(dishes: Vec<Row>) -> Analytics {
    let (orders, revenue) = dishes.first().map_or((0, Cents(0)), |row| (row.0, row.1));
    let items = dishes.into_iter().filter_map(|(_, _, menu_item_id, name, quantity, revenue)| {
        Some(TopItem { menu_item_id: menu_item_id?, name: name?, quantity: quantity?, revenue: revenue? })
    });
    Analytics::new(orders, revenue, items.collect())
}
