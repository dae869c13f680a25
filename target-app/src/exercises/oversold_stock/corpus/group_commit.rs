use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use super::*;

type Outcome = Result<Order, CheckoutError>;

/// A cart, and where its buyer waits. Dropped without an answer, the buyer goes on alone.
struct Waiting {
    cart: Cart,
    answer: oneshot::Sender<Outcome>,
}

static QUEUE: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

/// Batches at a time: one that waits for a row does not hold up carts without that product.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Carts in a batch.
const MOST: usize = 32;

pub async fn place_order(pool: &PgPool, cart: &Cart) -> Outcome {
    let (answer, answered) = oneshot::channel();
    queue().push(Waiting { cart: cart.clone(), answer });
    // One task for each cart, which serves at least one, so no cart is left. It is not the request's: a buyer who leaves
    // must not take the others along.
    tokio::spawn(serve(pool.clone()).in_current_span());
    match answered.await {
        Ok(outcome) => outcome,
        Err(_) => alone(pool, cart).await,
    }
}

fn queue() -> MutexGuard<'static, Vec<Waiting>> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(pool: PgPool) {
    let Ok(_turn) = TURNS.acquire().await else { return };
    let batch: Vec<Waiting> = {
        let mut queue = queue();
        let most = queue.len().min(MOST);
        // Those who have left buy nothing.
        queue.drain(..most).filter(|waiting| !waiting.answer.is_closed()).collect()
    };
    if batch.is_empty() {
        return;
    }
    // On an error nothing was committed, and all are dropped.
    if let Ok(outcomes) = sell(&pool, &batch).await {
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                let _ = waiting.answer.send(outcome);
            }
        }
    }
}

/// What came of each cart; none for one that has to be tried alone. An error only as long as nothing can have been committed.
async fn sell(pool: &PgPool, batch: &[Waiting]) -> sqlx::Result<Vec<Option<Outcome>>> {
    let mut db = match pool.begin().await {
        Ok(db) => db,
        // They have waited long enough.
        Err(error) => return Ok(batch.iter().map(|_| Some(Err(copy(&error).into()))).collect()),
    };

    let users: Vec<Uuid> = batch.iter().map(|waiting| waiting.cart.user_id).collect();
    let users: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM users WHERE id = ANY($1)")
        .bind(&users)
        .fetch_all(&mut *db)
        .await?;
    let users: HashSet<Uuid> = users.into_iter().collect();

    let wanted: HashSet<Uuid> =
        batch.iter().flat_map(|waiting| &waiting.cart.items).map(|item| item.product_id).collect();
    let mut shelf = lock(&mut db, &wanted.into_iter().collect::<Vec<_>>()).await?;

    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(batch.len());
    let mut sold: BTreeMap<Uuid, i32> = BTreeMap::new();
    for Waiting { cart, .. } in batch {
        let known = users.contains(&cart.user_id);
        outcomes.push(known.then(|| {
            let lines = compare(&shelf, cart)?;
            for line in &lines {
                if let Some(product) = shelf.get_mut(&line.product_id) {
                    product.inventory -= line.quantity;
                    *sold.entry(line.product_id).or_default() += line.quantity;
                }
            }
            Ok(order(cart.user_id, lines))
        }));
    }
    let placed: Vec<&Order> = outcomes.iter().flatten().flatten().collect();
    if placed.is_empty() {
        return Ok(outcomes);
    }

    take(&mut db, sold.into_iter().unzip()).await?;
    write(&mut db, &placed).await?;
    if let Err(error) = db.commit().await {
        // Nobody knows whether it was done, so it is not done again. Who was refused because of the others tries alone.
        for outcome in &mut outcomes {
            *outcome = match outcome.take() {
                Some(Ok(_)) => Some(Err(copy(&error).into())),
                _ => None,
            };
        }
    }
    Ok(outcomes)
}

async fn alone(pool: &PgPool, cart: &Cart) -> Outcome {
    let mut db = pool.begin().await?;
    let (ids, quantities): (Vec<Uuid>, Vec<i32>) =
        cart.items.iter().map(|item| (item.product_id, item.quantity)).unzip();
    let shelf = lock(&mut db, &ids).await?;
    let lines = compare(&shelf, cart)?;
    take(&mut db, (ids, quantities)).await?;
    let order = orders::insert(&mut *db, cart.user_id, lines).await?;
    db.commit().await?;
    Ok(order)
}

/// The products as they are once their rows are locked, in order of ids, so that no two transactions wait for each other.
async fn lock(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, Product>> {
    let products: Vec<Product> = sqlx::query_as(
        "SELECT id, name, description, price_cents, stock, created_at FROM products
         WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(products.into_iter().map(|product| (product.id, product)).collect())
}

/// The lines of the order, if there is enough for each.
fn compare(shelf: &BTreeMap<Uuid, Product>, cart: &Cart) -> Result<Vec<OrderItem>, CheckoutError> {
    let line_of = |item: &CartItem| {
        let product = shelf.get(&item.product_id).ok_or(CheckoutError::UnknownProduct(item.product_id))?;
        if product.inventory < item.quantity {
            return Err(short_stock(item));
        }
        Ok(line(product, item))
    };
    cart.items.iter().map(line_of).collect()
}

/// Takes from rows that are locked and were compared.
async fn take(connection: &mut PgConnection, (ids, pieces): (Vec<Uuid>, Vec<i32>)) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE products SET stock = products.stock - sold.pieces
         FROM UNNEST($1::uuid[], $2::integer[]) AS sold (id, pieces) WHERE products.id = sold.id",
    )
    .bind(ids)
    .bind(pieces)
    .execute(connection)
    .await?;
    Ok(())
}

/// As [`orders::insert`] makes it.
fn order(user_id: Uuid, mut items: Vec<OrderItem>) -> Order {
    items.sort_by_key(|item| item.product_id);
    Order {
        id: Uuid::now_v7(),
        user_id,
        status: "pending".into(),
        total: items.iter().map(|item| item.unit_price.times(item.quantity)).sum(),
        created_at: chrono::SubsecRound::trunc_subsecs(chrono::Utc::now(), 6),
        items,
    }
}

/// Writes many orders as [`orders::insert`] writes one.
async fn write(connection: &mut PgConnection, placed: &[&Order]) -> sqlx::Result<()> {
    let lines = || placed.iter().flat_map(|order| order.items.iter().map(move |item| (order.id, item)));
    sqlx::query(
        "WITH placed AS (
             INSERT INTO orders (id, user_id, status, total_cents, created_at)
             SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[])
         )
         INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
         SELECT * FROM UNNEST($6::uuid[], $7::uuid[], $8::integer[], $9::bigint[])",
    )
    .bind(placed.iter().map(|order| order.id).collect::<Vec<_>>())
    .bind(placed.iter().map(|order| order.user_id).collect::<Vec<_>>())
    .bind(placed.iter().map(|order| order.status.clone()).collect::<Vec<_>>())
    .bind(placed.iter().map(|order| order.total.0).collect::<Vec<_>>())
    .bind(placed.iter().map(|order| order.created_at).collect::<Vec<_>>())
    .bind(lines().map(|(order, _)| order).collect::<Vec<_>>())
    .bind(lines().map(|(_, item)| item.product_id).collect::<Vec<_>>())
    .bind(lines().map(|(_, item)| item.quantity).collect::<Vec<_>>())
    .bind(lines().map(|(_, item)| item.unit_price.0).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The same error for the next buyer.
fn copy(error: &sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::PoolTimedOut => sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed => sqlx::Error::PoolClosed,
        sqlx::Error::Io(error) => sqlx::Error::Io(std::io::Error::new(error.kind(), error.to_string())),
        // The connection broke, or was ended.
        sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("57P")) => {
            sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, error.to_string()))
        }
        error => sqlx::Error::Protocol(error.to_string()),
    }
}
