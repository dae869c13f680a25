use super::*;
use crate::domain::money::Cents;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
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

    // The prices are in the rows that we hold, so the database adds them up: no total can differ from its products.
    let id = Uuid::now_v7();
    let (status, total, created_at): (String, Cents, chrono::DateTime<chrono::Utc>) = sqlx::query_as(
        "INSERT INTO orders (id, user_id, status, total_cents)
         SELECT $1, $2, 'pending', sum(price_cents)::bigint FROM products WHERE id = ANY($3)
         RETURNING status, total_cents, created_at",
    )
    .bind(id)
    .bind(cart.user_id)
    .bind(lines.iter().map(|line| line.product_id).collect::<Vec<_>>())
    .fetch_one(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
         SELECT $1, cart.product_id, cart.quantity, products.price_cents
         FROM UNNEST($2::uuid[], $3::integer[]) AS cart (product_id, quantity)
         JOIN products ON products.id = cart.product_id",
    )
    .bind(id)
    .bind(lines.iter().map(|line| line.product_id).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.quantity).collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    db.commit().await?;
    Ok(Order { id, user_id: cart.user_id, status, total, created_at, items: lines })
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
