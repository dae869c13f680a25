use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::*;
use crate::domain::products;

/// Pieces left of each product that was asked for since the start.
static STOCK: LazyLock<Mutex<HashMap<Uuid, i32>>> = LazyLock::new(Mutex::default);

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut lines = Vec::new();
    for item in &cart.items {
        let product = products::find(&mut *db, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        stock().entry(product.id).or_insert(product.inventory);
        lines.push(line(&product, item));
    }

    // The counters decide, in memory, in less than a microsecond; the table follows.
    let mut left = take(&mut stock(), &cart.items)?;
    left.sort();
    for (product, stock) in left {
        set_stock(&mut db, product, stock).await?;
    }
    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

fn stock() -> MutexGuard<'static, HashMap<Uuid, i32>> {
    STOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes all lines or none, and says what is left of each.
fn take(stock: &mut HashMap<Uuid, i32>, items: &[CartItem]) -> Result<Vec<(Uuid, i32)>, CheckoutError> {
    if let Some(short) = items.iter().find(|item| stock[&item.product_id] < item.quantity) {
        return Err(short_stock(short));
    }
    let left = items.iter().map(|item| {
        let left = stock[&item.product_id] - item.quantity;
        stock.insert(item.product_id, left);
        (item.product_id, left)
    });
    Ok(left.collect())
}
