use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once: half of the processors, so that the other half go on answering.
static AT_ONCE: LazyLock<usize> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    (processors / 2).max(1)
});

static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(*AT_ONCE));

/// Reports that are being rendered or are next: a handful is never refused, however long the reports are.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(8 * *AT_ONCE));

/// How long a request may wait for a place.
const PATIENCE: Duration = Duration::from_secs(1);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let busy = || RenderError::Busy { retry_after: Duration::from_secs(1) };
    let Ok(Ok(_place)) = timeout(PATIENCE, PLACES.acquire()).await else {
        return Err(busy());
    };
    let _slot = SLOTS.acquire().await.map_err(|_| busy())?;
    // There is no await from here to the end: whoever hangs up meanwhile is noticed afterwards, and both permits are
    // released in any case, also when rendering panics.
    Ok(block_in_place(|| {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    }))
}
