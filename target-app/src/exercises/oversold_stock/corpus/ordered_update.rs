use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut db = pool.begin().await?;

    // The update alone would lock in the sequence of its plan. The inner query locks by id first; the condition is then
    // evaluated on the rows as they are under the lock.
    let taken: Vec<Product> = sqlx::query_as(
        "WITH locked AS MATERIALIZED (
             SELECT products.id, cart.quantity
             FROM products JOIN UNNEST($1::uuid[], $2::integer[]) AS cart (product_id, quantity)
               ON products.id = cart.product_id
             ORDER BY products.id FOR UPDATE OF products
         )
         UPDATE products SET stock = stock - locked.quantity FROM locked
         WHERE products.id = locked.id AND stock >= locked.quantity
         RETURNING products.id, name, description, price_cents, stock, created_at",
    )
    .bind(cart.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(cart.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;

    // Fewer rows than lines: one was short or unknown. Leaving drops the transaction, and so what the others took.
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
