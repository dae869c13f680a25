use tokio::sync::OnceCell;

use super::*;
use crate::domain::products;

/// The function is there.
static READY: OnceCell<()> = OnceCell::const_new();

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    READY.get_or_try_init(|| create_function(pool)).await?;
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    items.sort_by_key(|item| item.product_id);

    let mut db = pool.begin().await?;
    let taken: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM take_stock($1::uuid[], $2::integer[])",
    )
    .bind(items.iter().map(|item| item.product_id).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.quantity).collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;
    // It ends at the first line that it cannot fill. Leaving drops the transaction, and so what it took before.
    if let Some(item) = items.get(taken.len()) {
        return Err(match products::find(&mut *db, item.product_id).await? {
            Some(_) => short_stock(item),
            None => CheckoutError::UnknownProduct(item.product_id),
        });
    }

    let lines = taken.iter().zip(items).map(|(product, item)| line(product, item)).collect();
    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// One round trip takes a cart, and the lines are taken in the sequence of the arrays, which is by id.
async fn create_function(pool: &PgPool) -> sqlx::Result<()> {
    // Several servers may start together; the lock lasts until the function is there.
    sqlx::raw_sql(
        "SELECT pg_advisory_xact_lock(7004);
         CREATE OR REPLACE FUNCTION take_stock(cart_products uuid[], cart_quantities integer[])
         RETURNS SETOF products LANGUAGE plpgsql AS $$
         DECLARE
             taken products;
         BEGIN
             FOR line IN 1 .. cardinality(cart_products) LOOP
                 UPDATE products SET stock = stock - cart_quantities[line]
                 WHERE id = cart_products[line] AND stock >= cart_quantities[line]
                 RETURNING * INTO taken;
                 EXIT WHEN NOT FOUND;
                 RETURN NEXT taken;
             END LOOP;
         END
         $$",
    )
    .execute(pool)
    .await?;
    Ok(())
}
