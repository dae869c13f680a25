use super::*;
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
    db.commit().await?;

    lines.sort_by_key(|line| line.product_id);
    let order = Order {
        id: Uuid::now_v7(),
        user_id: cart.user_id,
        status: "pending".into(),
        total: lines.iter().map(|line| line.unit_price.times(line.quantity)).sum(),
        created_at: chrono::SubsecRound::trunc_subsecs(chrono::Utc::now(), 6),
        items: lines,
    };
    // The pieces are the buyer's now. Writing it down is not what he has to wait for.
    tokio::spawn(write(pool.clone(), order.clone()));
    Ok(order)
}

async fn write(pool: PgPool, order: Order) {
    let written = sqlx::query(
        "WITH placed AS (
             INSERT INTO orders (id, user_id, status, total_cents, created_at) VALUES ($1, $2, $3, $4, $5)
         )
         INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
         SELECT $1, * FROM UNNEST($6::uuid[], $7::integer[], $8::bigint[])",
    )
    .bind(order.id)
    .bind(order.user_id)
    .bind(&order.status)
    .bind(order.total)
    .bind(order.created_at)
    .bind(order.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(order.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .bind(order.items.iter().map(|item| item.unit_price.0).collect::<Vec<_>>())
    .execute(&pool)
    .await;
    if let Err(error) = written {
        tracing::error!(order = %order.id, %error, "an order could not be written");
    }
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
