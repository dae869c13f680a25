use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once: half of the processors, so that the other half go on answering.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a request may wait for its turn.
const PATIENCE: Duration = Duration::from_millis(500);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Held by this future, which is also what renders: dropping it ends both.
    let Ok(Ok(_turn)) = timeout(PATIENCE, TURNS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
        // A page takes about a millisecond. The worker looks at its sockets and timers before the next one.
        yield_now().await;
    }
    Ok(report.finish())
}
