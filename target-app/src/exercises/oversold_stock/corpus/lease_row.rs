use tokio::sync::OnceCell;

use super::*;
use crate::domain::products;

/// The table of leases is there.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    READY.get_or_try_init(|| create_table(pool)).await?;
    let mut items = cart.items.clone();
    // One sequence, or two carts would wait for each other's leases.
    items.sort_by_key(|item| item.product_id);

    for item in &items {
        lease(pool, item.product_id).await?;
    }
    let placed = place(pool, cart.user_id, &items).await;
    let ids: Vec<Uuid> = items.iter().map(|item| item.product_id).collect();
    sqlx::query("DELETE FROM checkout_leases WHERE product_id = ANY($1)").bind(ids).execute(pool).await?;
    placed
}

/// Waits until the product is ours. A lease that outlived its server ends by itself.
async fn lease(pool: &PgPool, product: Uuid) -> sqlx::Result<()> {
    loop {
        let leased = sqlx::query(
            "INSERT INTO checkout_leases (product_id, taken_at) VALUES ($1, now())
             ON CONFLICT (product_id) DO UPDATE SET taken_at = now()
             WHERE checkout_leases.taken_at < now() - interval '10 seconds'",
        )
        .bind(product)
        .execute(pool)
        .await?;
        if leased.rows_affected() == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn place(pool: &PgPool, user: Uuid, items: &[CartItem]) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut lines = Vec::new();
    for item in items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        set_stock(&mut db, product.id, product.inventory - item.quantity).await?;
        lines.push(line(&product, item));
    }
    let order = orders::insert(&mut *db, user, lines).await?;
    db.commit().await?;
    Ok(order)
}

async fn create_table(pool: &PgPool) -> sqlx::Result<()> {
    // Two servers that start together must not both create it.
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7003);
         CREATE TABLE IF NOT EXISTS checkout_leases (product_id UUID PRIMARY KEY, taken_at TIMESTAMPTZ NOT NULL)",
    )
    .execute(pool)
    .await?;
    Ok(())
}
