use std::collections::{HashMap, HashSet};

use super::*;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let ids: Vec<Uuid> = cart.items.iter().map(|item| item.product_id).collect();
    let quantities: Vec<i32> = cart.items.iter().map(|item| item.quantity).collect();
    // The end of an id is its random part. Two products that shared a key would only wait for each other's buyers: what is
    // sorted is the keys, so there is no circle.
    let mut keys: Vec<i64> = ids.iter().map(|id| id.as_u64_pair().1.cast_signed()).collect();
    keys.sort_unstable();
    keys.dedup();

    let mut db = pool.begin().await?;
    // Until the transaction ends, and for all servers.
    sqlx::query("SELECT pg_advisory_xact_lock(key) FROM UNNEST($1::bigint[]) AS key")
        .bind(&keys)
        .execute(&mut *db)
        .await?;
    // A statement of its own, whose snapshot is younger than the locks.
    let products: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products WHERE id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;
    let products: HashMap<Uuid, Product> =
        products.into_iter().map(|product| (product.id, product)).collect();

    let mut lines = Vec::with_capacity(ids.len());
    for item in &cart.items {
        let product = products.get(&item.product_id).ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        lines.push(line(product, item));
    }

    // It compares once more, for the sake of whoever changes stock without our locks.
    let taken: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE products SET stock = products.stock - cart.quantity
         FROM UNNEST($1::uuid[], $2::integer[]) AS cart (id, quantity)
         WHERE products.id = cart.id AND products.stock >= cart.quantity RETURNING products.id",
    )
    .bind(&ids)
    .bind(&quantities)
    .fetch_all(&mut *db)
    .await?;
    let taken: HashSet<Uuid> = taken.into_iter().collect();
    if let Some(item) = cart.items.iter().find(|item| !taken.contains(&item.product_id)) {
        return Err(short_stock(item));
    }

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}
