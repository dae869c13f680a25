use std::sync::LazyLock;

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

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        let mut report = ReportWriter::new(&history.user);
        // A history reads from its beginning.
        for order in history.orders.iter().rev() {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
