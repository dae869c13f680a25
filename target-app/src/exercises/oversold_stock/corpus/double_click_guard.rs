use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::*;
use crate::domain::products;

type Click = (Uuid, Vec<(Uuid, i32)>);

/// What was placed in the last moments, by buyer and cart.
static PLACED: LazyLock<Mutex<HashMap<Click, (Instant, Order)>>> = LazyLock::new(Mutex::default);

/// Nobody who means to buy the same cart twice does so within two seconds.
const DOUBLE_CLICK: Duration = Duration::from_secs(2);

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    // Half of the orders that nobody can deliver come from buttons that were pressed twice: the second click gets the
    // order of the first.
    let lines = cart.items.iter().map(|item| (item.product_id, item.quantity)).collect();
    let click: Click = (cart.user_id, lines);
    if let Some((at, order)) = PLACED.lock().unwrap_or_else(PoisonError::into_inner).get(&click)
        && at.elapsed() < DOUBLE_CLICK
    {
        return Ok(order.clone());
    }
    let order = place(pool, cart).await?;
    let mut placed = PLACED.lock().unwrap_or_else(PoisonError::into_inner);
    placed.retain(|_, (at, _)| at.elapsed() < DOUBLE_CLICK);
    placed.insert(click, (Instant::now(), order.clone()));
    Ok(order)
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
