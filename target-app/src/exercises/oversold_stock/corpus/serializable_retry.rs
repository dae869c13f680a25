use tokio::sync::Semaphore;

use super::*;
use crate::domain::products;

/// Checkouts of this server that try at once. Of those that meet at a product one goes through and all others were in
/// vain, so more of them would only mean more repeats.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Far more than a checkout needs; whoever is still unlucky has met something else than a rush.
const TRIES: u32 = 200;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let _turn = TURNS.acquire().await.expect("it is never closed");
    for _ in 1..TRIES {
        match try_to_place(pool, cart).await {
            // Nothing was done, and nothing is known about the stock: only another try can tell.
            Err(CheckoutError::Database(error)) if is_conflict(&error) => {
                tokio::time::sleep(Duration::from_micros(rand::random_range(0..1_000))).await;
            }
            placed => return placed,
        }
    }
    try_to_place(pool, cart).await
}

async fn try_to_place(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    // A deadlock would be repeated as well, but only after the second that it takes to be noticed.
    items.sort_by_key(|item| item.product_id);

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

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    // The commit may be what fails: what was read is only true when it succeeds.
    db.commit().await?;
    Ok(order)
}

fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
