use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// The lane beside them, for reports that are over soon.
static SHORT: Semaphore = Semaphore::const_new(1);

/// Orders in a short report: what fits on a screen.
const SHORT_ORDERS: usize = 10;

/// How long a request may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    if let Ok(slot) = SLOTS.try_acquire() {
        return make(slot, history).await;
    }
    // All slots are taken. Most people look for their newest orders, and those can be drawn in a few milliseconds.
    let Ok(Ok(slot)) = timeout(PATIENCE, SHORT.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let mut short = history;
    short.orders.truncate(SHORT_ORDERS);
    make(slot, short).await
}

async fn make(slot: SemaphorePermit<'static>, history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
