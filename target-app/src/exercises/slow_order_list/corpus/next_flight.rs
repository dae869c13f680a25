use super::*;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{LazyLock, Mutex};

use tokio::sync::oneshot;

type Key = (Uuid, OrderPage);
type Waiting = Vec<oneshot::Sender<Vec<Order>>>;

/// The pages that have a reader, with those who wait for its next read.
static WAITING: LazyLock<Mutex<HashMap<Key, Waiting>>> = LazyLock::new(Mutex::default);

/// Reads a page for all who wait for it. When it goes, for whatever reason, nobody is left waiting.
struct Reader(Key);

impl Drop for Reader {
    fn drop(&mut self) {
        WAITING.lock().unwrap().remove(&self.0);
    }
}

pub async fn list(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let (sender, receiver) = oneshot::channel();
    let reader = match WAITING.lock().unwrap().entry((user, page)) {
        Entry::Occupied(mut waiting) => {
            waiting.get_mut().push(sender);
            None
        }
        Entry::Vacant(page) => {
            let reader = Reader(*page.key());
            page.insert(vec![sender]);
            Some(reader)
        }
    };
    if let Some(reader) = reader {
        // A task of its own, which does not end with the client that began it.
        tokio::spawn(reader.run(pool.clone()));
    }
    match receiver.await {
        Ok(orders) => Ok(orders),
        Err(_) => read(pool, user, page).await,
    }
}

impl Reader {
    async fn run(self, pool: PgPool) {
        let (user, page) = self.0;
        loop {
            // Only those who came before the read begins get its result.
            let waiting = WAITING.lock().unwrap().get_mut(&self.0).map(mem::take).unwrap_or_default();
            if waiting.is_empty() {
                return;
            }
            if let Ok(orders) = read(&pool, user, page).await {
                waiting.into_iter().for_each(|sender| drop(sender.send(orders.clone())));
            }
        }
    }
}

async fn read(pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
    let mut orders = orders::without_items(pool, user, page).await?;
    let mut items = orders::items_of(pool, &orders.iter().map(|order| order.id).collect::<Vec<_>>()).await?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(orders)
}
