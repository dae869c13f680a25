use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // Locks of the transaction end with it, however it ends. They are sorted by what is locked, not by product: two
    // products that share a key must not give two sequences.
    let mut keys: Vec<i64> =
        cart.items.iter().map(|item| item.product_id.as_u64_pair().1.cast_signed()).collect();
    keys.sort();
    for key in keys {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(&mut *db).await?;
    }

    // Each of these statements sees what was committed before it began, so all that others did under the locks.
    let mut lines = Vec::new();
    for item in &cart.items {
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
    db.commit().await?;
    Ok(order)
}
