use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Requests in a row that waited in vain.
static IN_VAIN: AtomicU32 = AtomicU32::new(0);

/// From so many on, waiting is pointless, and the circuit is open.
const OPEN: u32 = 3;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Do not even begin to wait for what nobody gets at the moment.
    if IN_VAIN.load(Ordering::Relaxed) >= OPEN {
        return Err(busy());
    }
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        IN_VAIN.fetch_add(1, Ordering::Relaxed);
        return Err(busy());
    };
    // Somebody got one: it goes on. Who was in line before the circuit opened says nothing about now, and does not close it.
    let closed = |in_vain| (in_vain < OPEN).then_some(0);
    let _ = IN_VAIN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, closed);
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        pdf(&history)
    });
    Ok(rendering.await?)
}

fn busy() -> RenderError {
    RenderError::Busy { retry_after: Duration::from_secs(1) }
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
