use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a request may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a flight comes to, for all who are on it.
#[derive(Clone)]
enum Landing {
    Made(Arc<Vec<u8>>),
    Busy,
    Failed,
}

type Flight = (Arc<OrderHistory>, Shared<BoxFuture<'static, Landing>>);

static FLIGHTS: Mutex<Vec<Flight>> = Mutex::new(Vec::new());

fn flights() -> MutexGuard<'static, Vec<Flight>> {
    FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let flight = {
        let mut flights = flights();
        match flights.iter().find(|(of, _)| same(of, &history)) {
            Some((_, flight)) => flight.clone(),
            None => {
                let history = Arc::new(history);
                // A task, because the client who was first may be the first to leave.
                let flying = tokio::spawn(fly(history.clone()));
                let flight = async move { flying.await.unwrap_or(Landing::Failed) }.boxed().shared();
                flights.push((history, flight.clone()));
                flight
            }
        }
    };
    match flight.await {
        Landing::Made(pdf) => Ok(pdf.to_vec()),
        Landing::Busy => Err(RenderError::Busy { retry_after: Duration::from_secs(1) }),
        Landing::Failed => panic!("a report could not be rendered"),
    }
}

async fn fly(history: Arc<OrderHistory>) -> Landing {
    let landing = match timeout(PATIENCE, SLOTS.acquire()).await {
        Ok(Ok(slot)) => {
            let history = history.clone();
            let rendering = spawn_blocking(move || {
                let _slot = slot;
                Arc::new(pdf(&history))
            });
            rendering.await.map_or(Landing::Failed, Landing::Made)
        }
        _ => Landing::Busy,
    };
    flights().retain(|(of, _)| !Arc::ptr_eq(of, &history));
    landing
}

/// Whether the two make the same document: all that is drawn is compared, so a new order is another report.
fn same(one: &OrderHistory, other: &OrderHistory) -> bool {
    let user =
        |history: &OrderHistory| (history.user.id, history.user.name.clone(), history.user.email.clone());
    user(one) == user(other) && one.orders == other.orders
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
