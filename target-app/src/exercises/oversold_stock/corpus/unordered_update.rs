use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // The whole cart in one statement: nothing can come between its lines, and it is one round trip.
    let taken: Vec<Product> = sqlx::query_as(
        "UPDATE products SET stock = stock - cart.quantity
         FROM UNNEST($1::uuid[], $2::integer[]) AS cart (product_id, quantity)
         WHERE id = cart.product_id AND stock >= cart.quantity
         RETURNING id, name, description, price_cents, stock, created_at",
    )
    .bind(cart.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(cart.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;

    let mut lines = Vec::new();
    for item in &cart.items {
        match taken.iter().find(|product| product.id == item.product_id) {
            Some(product) => lines.push(line(product, item)),
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
