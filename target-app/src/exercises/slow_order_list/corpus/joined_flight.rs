use super::*;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

/// None when the list could not be read; then everybody asks for themselves and gets the error as it is.
type Flight = Shared<BoxFuture<'static, Option<Arc<Vec<Order>>>>>;

/// The lists that are being read at the moment: ten requests for one list cost two statements.
static FLIGHTS: LazyLock<Mutex<HashMap<(Uuid, OrderPage), Flight>>> = LazyLock::new(Mutex::default);

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let flight = {
        let mut flights = FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner);
        flights.entry((user, page)).or_insert_with(|| take_off(pool.clone(), user, page)).clone()
    };
    match flight.await {
        Some(orders) => Ok(orders.as_ref().clone()),
        None => read(pool, user, page).await,
    }
}

/// Runs in a task of its own, so that a client who leaves takes nobody along.
fn take_off(pool: PgPool, user: Uuid, page: OrderPage) -> Flight {
    let landed = tokio::spawn(async move {
        let orders = read(&pool, user, page).await;
        FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner).remove(&(user, page));
        orders.ok().map(Arc::new)
    });
    landed.map(|orders| orders.ok().flatten()).boxed().shared()
}

async fn read(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let mut items = orders::items_of(pool, &ids).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}
