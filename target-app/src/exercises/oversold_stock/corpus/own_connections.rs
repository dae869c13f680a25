use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::Connection;
use tokio::sync::Mutex;

use super::*;
use crate::domain::products;

/// Connections for checkouts alone: in a rush, buyers must not wait behind those who only look around.
static TILLS: [Mutex<Option<PgConnection>>; 8] = [const { Mutex::const_new(None) }; 8];

/// Whose turn it is.
static NEXT: AtomicUsize = AtomicUsize::new(0);

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut till = TILLS[NEXT.fetch_add(1, Ordering::Relaxed) % TILLS.len()].lock().await;
    let connection = match &mut *till {
        Some(connection) => connection,
        closed => closed.insert(PgConnection::connect_with(&pool.connect_options()).await?),
    };
    // A transaction that is dropped, because the buyer has left or there is too little, is rolled back before the next begins.
    let mut db = connection.begin().await?;

    let mut lines = Vec::new();
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);
    for item in items {
        match take_stock(&mut db, item).await? {
            Some(product) => lines.push(line(&product, item)),
            None if products::find(&mut *db, item.product_id).await?.is_none() => {
                return Err(CheckoutError::UnknownProduct(item.product_id));
            }
            None => return Err(short_stock(item)),
        }
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

async fn take_stock(connection: &mut PgConnection, item: &CartItem) -> sqlx::Result<Option<Product>> {
    sqlx::query_as(
        "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(item.product_id)
    .bind(item.quantity)
    .fetch_optional(connection)
    .await
}
