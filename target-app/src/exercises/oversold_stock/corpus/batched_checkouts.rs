use std::sync::OnceLock;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::domain::products;

/// A cart, and who waits for its order.
struct Checkout {
    cart: Cart,
    reply: oneshot::Sender<Result<Order, CheckoutError>>,
}

static COUNTER: OnceLock<mpsc::Sender<Checkout>> = OnceLock::new();

/// Carts that are placed in one go.
const BATCH: usize = 16;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let counter = COUNTER.get_or_init(|| {
        let (counter, line) = mpsc::channel(1_000);
        tokio::spawn(serve(pool.clone(), line));
        counter
    });
    let (reply, answer) = oneshot::channel();
    // When nobody takes it any more, the answer fails as well.
    let _ = counter.send(Checkout { cart: cart.clone(), reply }).await;
    answer.await.unwrap_or(Err(CheckoutError::Database(sqlx::Error::WorkerCrashed)))
}

/// Places carts one after the other, so that the checkouts of this server never compete for a row.
async fn serve(pool: PgPool, mut line: mpsc::Receiver<Checkout>) {
    let mut batch = Vec::with_capacity(BATCH);
    while line.recv_many(&mut batch, BATCH).await > 0 {
        let (mut carts, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|checkout| (checkout.cart, checkout.reply)).unzip();
        // Carts of one product follow each other: its row and its index page are at hand.
        carts.sort_by_key(|cart| cart.items.iter().map(|item| item.product_id).min());
        let mut placed = Vec::with_capacity(carts.len());
        for cart in &carts {
            placed.push(place(&pool, cart).await);
        }
        for (reply, order) in replies.into_iter().zip(placed) {
            // A buyer who has left finds the order in his list.
            let _ = reply.send(order);
        }
    }
}

async fn place(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
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

    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
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
