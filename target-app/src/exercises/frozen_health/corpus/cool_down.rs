use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

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

/// How long an overloaded server is left alone.
const COOL_DOWN: Duration = Duration::from_secs(5);

/// When the server was last asked for too much.
static OVERLOADED: Mutex<Option<Instant>> = Mutex::new(None);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    if is_overloaded() {
        return Err(refusal());
    }
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(refusal());
    };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        pdf(&history)
    });
    Ok(rendering.await?)
}

fn is_overloaded() -> bool {
    let overloaded = OVERLOADED.lock().unwrap_or_else(PoisonError::into_inner);
    overloaded.is_some_and(|at| at.elapsed() < COOL_DOWN)
}

/// Whoever is refused should stay away for as long as it says. As long as they keep coming, it is not over.
fn refusal() -> RenderError {
    *OVERLOADED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    RenderError::Busy { retry_after: COOL_DOWN }
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
