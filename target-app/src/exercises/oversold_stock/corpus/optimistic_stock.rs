use super::*;
use crate::domain::products;

/// Whoever loses the race three times would lose it again.
const TRIES: u32 = 3;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut lines = Vec::new();
    for item in items {
        lines.push(take(&mut db, item).await?);
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// Optimistic: nothing is locked to read. The stock is its own version, since it changes with every sale.
async fn take(connection: &mut PgConnection, item: &CartItem) -> Result<OrderItem, CheckoutError> {
    for _ in 0..TRIES {
        let product = products::find(&mut *connection, item.product_id)
            .await?
            .ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            break;
        }
        let written = sqlx::query("UPDATE products SET stock = $3 WHERE id = $1 AND stock = $2")
            .bind(product.id)
            .bind(product.inventory)
            .bind(product.inventory - item.quantity)
            .execute(&mut *connection)
            .await?;
        if written.rows_affected() == 1 {
            return Ok(line(&product, item));
        }
    }
    Err(short_stock(item))
}
