use super::*;

use std::collections::HashMap;
use std::mem;
use std::sync::{LazyLock, Mutex};

use tokio::sync::oneshot;

type Waiting = Vec<oneshot::Sender<Vec<Order>>>;

/// The pages that are being read, with those who asked for them since the read began.
static READING: LazyLock<Mutex<HashMap<(Uuid, OrderPage), Waiting>>> = LazyLock::new(Mutex::default);

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    if let Some(answer) = wait_for_reader(user, page) {
        // A reader that fails drops the sender: then everybody reads alone.
        return match answer.await {
            Ok(orders) => Ok(orders),
            Err(_) => read(pool, user, page).await,
        };
    }
    let orders = read(pool, user, page).await;
    // Whoever came in the meantime may know of an order that this read did not see: they get the next one.
    tokio::spawn(read_for_others(pool.clone(), user, page));
    orders
}

fn wait_for_reader(user: Uuid, page: OrderPage) -> Option<oneshot::Receiver<Vec<Order>>> {
    let mut reading = READING.lock().unwrap();
    let Some(waiting) = reading.get_mut(&(user, page)) else {
        reading.insert((user, page), Vec::new());
        return None;
    };
    let (sender, receiver) = oneshot::channel();
    waiting.push(sender);
    Some(receiver)
}

async fn read_for_others(pool: PgPool, user: Uuid, page: OrderPage) {
    loop {
        let waiting = {
            let mut reading = READING.lock().unwrap();
            let waiting = reading.get_mut(&(user, page)).map(mem::take).unwrap_or_default();
            if waiting.is_empty() {
                reading.remove(&(user, page));
                return;
            }
            waiting
        };
        if let Ok(orders) = read(&pool, user, page).await {
            for sender in waiting {
                let _ = sender.send(orders.clone());
            }
        }
    }
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
