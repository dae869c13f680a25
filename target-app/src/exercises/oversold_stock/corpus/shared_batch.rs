use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use super::*;

/// A cart, and where its buyer waits.
struct Waiting {
    cart: Cart,
    answer: oneshot::Sender<Result<Order, CheckoutError>>,
}

static QUEUE: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

/// Batches at a time.
static TURNS: Semaphore = Semaphore::const_new(4);

const MOST: usize = 16;

/// Carts that come while others are being served are served together: one lock of the rows and one commit for all.
pub async fn place_order(pool: &PgPool, cart: &Cart) -> Result<Order, CheckoutError> {
    let (answer, answered) = oneshot::channel();
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { cart: cart.clone(), answer });
    // A task of its own: a buyer who leaves must not take the others along.
    tokio::spawn(serve(pool.clone()).in_current_span());
    answered.await.unwrap_or(Err(CheckoutError::Database(sqlx::Error::WorkerCrashed)))
}

async fn serve(pool: PgPool) {
    let Ok(_turn) = TURNS.acquire().await else { return };
    let batch: Vec<Waiting> = {
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        let most = queue.len().min(MOST);
        queue.drain(..most).filter(|waiting| !waiting.answer.is_closed()).collect()
    };
    if batch.is_empty() {
        return;
    }
    match sell(&pool, &batch).await {
        Ok(outcomes) => {
            for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                let _ = waiting.answer.send(outcome);
            }
        }
        // Nothing of the batch was sold.
        Err(error) => {
            let message = error.to_string();
            let mut error = Some(error);
            for waiting in batch {
                let error = error.take().unwrap_or_else(|| sqlx::Error::Protocol(message.clone()));
                let _ = waiting.answer.send(Err(error.into()));
            }
        }
    }
}

async fn sell(pool: &PgPool, batch: &[Waiting]) -> sqlx::Result<Vec<Result<Order, CheckoutError>>> {
    let mut db = pool.begin().await?;
    let mut wanted: Vec<Uuid> =
        batch.iter().flat_map(|waiting| waiting.cart.items.iter().map(|item| item.product_id)).collect();
    wanted.sort();
    wanted.dedup();
    let products: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(&wanted)
    .fetch_all(&mut *db)
    .await?;
    let mut shelf: BTreeMap<Uuid, Product> =
        products.into_iter().map(|product| (product.id, product)).collect();

    let mut outcomes = Vec::with_capacity(batch.len());
    for Waiting { cart, .. } in batch {
        let outcome = match take(&mut shelf, cart) {
            Ok(lines) => Ok(orders::insert(&mut *db, cart.user_id, lines).await?),
            Err(refused) => Err(refused),
        };
        outcomes.push(outcome);
    }

    let (ids, stocks): (Vec<Uuid>, Vec<i32>) =
        shelf.values().map(|product| (product.id, product.inventory)).unzip();
    sqlx::query(
        "UPDATE products SET stock = left_over.stock
         FROM UNNEST($1::uuid[], $2::integer[]) AS left_over (id, stock)
         WHERE products.id = left_over.id AND products.stock <> left_over.stock",
    )
    .bind(ids)
    .bind(stocks)
    .execute(&mut *db)
    .await?;
    db.commit().await?;
    Ok(outcomes)
}

/// All lines of the cart, or none.
fn take(shelf: &mut BTreeMap<Uuid, Product>, cart: &Cart) -> Result<Vec<OrderItem>, CheckoutError> {
    let mut lines = Vec::with_capacity(cart.items.len());
    for item in &cart.items {
        let product = shelf.get(&item.product_id).ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        lines.push(line(product, item));
    }
    for item in &cart.items {
        if let Some(product) = shelf.get_mut(&item.product_id) {
            product.inventory -= item.quantity;
        }
    }
    Ok(lines)
}
