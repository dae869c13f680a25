use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::*;

/// Reports rendered at once.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Waiting costs nothing, and the semaphore is fair: everybody gets his turn.
    let slot = SLOTS.acquire().await.expect("it is never closed");
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
