use super::*;
use crate::domain::products;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let mut items: Vec<&CartItem> = cart.items.iter().collect();
    // The same sequence for everybody, so that no two checkouts wait for each other's rows.
    items.sort_by_key(|item| item.product_id);

    // Committed at once: the rows of products in demand are locked only while pieces are taken, not while we write.
    let lines = reserve(pool, &items).await?;
    match orders::insert(pool, cart.user_id, lines).await {
        Ok(order) => Ok(order),
        Err(error) => {
            // Nobody bought them after all.
            give_back(pool, &items).await?;
            Err(error.into())
        }
    }
}

/// Takes all pieces of the cart out of stock, or none.
async fn reserve(pool: &PgPool, items: &[&CartItem]) -> Result<Vec<OrderItem>, CheckoutError> {
    let mut db = pool.begin().await?;
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
    Ok(lines)
}

async fn give_back(pool: &PgPool, items: &[&CartItem]) -> sqlx::Result<()> {
    let mut db = pool.begin().await?;
    for item in items {
        sqlx::query("UPDATE products SET stock = stock + $2 WHERE id = $1")
            .bind(item.product_id)
            .bind(item.quantity)
            .execute(&mut *db)
            .await?;
    }
    db.commit().await
}

/// Compares and takes in one statement.
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
