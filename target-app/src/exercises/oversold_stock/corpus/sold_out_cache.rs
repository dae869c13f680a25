use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::*;
use crate::domain::products;

/// Products that are gone. Nothing adds stock during a sale, so they stay gone.
static SOLD_OUT: LazyLock<Mutex<HashSet<Uuid>>> = LazyLock::new(Mutex::default);

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // Most of a rush comes too late. Those need no connection to be told so.
    {
        let sold_out = SOLD_OUT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(item) = cart.items.iter().find(|item| sold_out.contains(&item.product_id)) {
            return Err(short_stock(item));
        }
    }
    let placed = place(pool, cart).await;
    if let Err(CheckoutError::ShortStock { product, .. }) = &placed {
        SOLD_OUT.lock().unwrap_or_else(PoisonError::into_inner).insert(*product);
    }
    placed
}

async fn place(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
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
