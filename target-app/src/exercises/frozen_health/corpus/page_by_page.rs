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
    // The slot is for the whole report: if each page had to get one, all reports would advance together and none get done.
    let Ok(Ok(mut slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let mut report = ReportWriter::new(&history.user);
    for order in history.orders {
        // Between two pages a client that has left ends the report. The slot travels along, so that it is not free before
        // the page is done.
        (report, slot) = spawn_blocking(move || {
            report.add(&order);
            (report, slot)
        })
        .await?;
    }
    Ok(report.finish())
}
