use super::*;
use crate::domain::money::Cents;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let id = Uuid::now_v7();
    let created_at = chrono::SubsecRound::trunc_subsecs(chrono::Utc::now(), 6);
    // `locked` waits for its rows by id and then sees them as they are; all that follows goes by what it saw.
    let rows: Vec<Row> = sqlx::query_as(
        "WITH locked AS MATERIALIZED (
             SELECT products.id, name, price_cents, stock, cart.quantity
             FROM products JOIN UNNEST($1::uuid[], $2::integer[]) AS cart (product_id, quantity)
               ON products.id = cart.product_id
             ORDER BY products.id FOR UPDATE OF products
         ), verdict AS MATERIALIZED (
             SELECT count(*) = cardinality($1::uuid[]) AND coalesce(bool_and(stock >= quantity), false) AS enough
             FROM locked
         ), taken AS (
             UPDATE products SET stock = locked.stock - locked.quantity FROM locked, verdict
             WHERE products.id = locked.id AND verdict.enough
         ), placed AS (
             INSERT INTO orders (id, user_id, status, total_cents, created_at)
             SELECT $3, $4, 'pending', sum(price_cents * quantity)::bigint, $5 FROM locked
             HAVING (SELECT enough FROM verdict)
         ), written AS (
             INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
             SELECT $3, locked.id, quantity, price_cents FROM locked, verdict WHERE enough
         )
         SELECT id, name, quantity, price_cents, stock FROM locked ORDER BY id",
    )
    .bind(cart.items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(cart.items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .bind(id)
    .bind(cart.user_id)
    .bind(created_at)
    .fetch_all(pool)
    .await?;

    for item in &cart.items {
        match rows.iter().find(|row| row.0 == item.product_id) {
            None => return Err(CheckoutError::UnknownProduct(item.product_id)),
            Some((_, _, wanted, _, stock)) if stock < wanted => return Err(short_stock(item)),
            Some(_) => {}
        }
    }
    let items: Vec<OrderItem> = rows
        .into_iter()
        .map(|(product_id, name, quantity, unit_price, _)| OrderItem {
            product_id,
            name,
            quantity,
            unit_price,
        })
        .collect();
    let total = items.iter().map(|item| item.unit_price.times(item.quantity)).sum();
    Ok(Order { id, user_id: cart.user_id, status: "pending".into(), total, created_at, items })
}

/// Product, name, pieces wanted, price of one, and pieces in stock before.
type Row = (Uuid, String, i32, Cents, i32);
