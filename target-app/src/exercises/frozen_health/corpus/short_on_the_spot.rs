use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once on threads of their own: half of the processors, so that the other half go on answering.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a request may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reports of so few pages are done before anybody notices; they need not stand in line behind the long ones.
const SHORT: usize = 20;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    if history.orders.len() <= SHORT {
        return Ok(write(&history));
    }
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        write(&history)
    });
    Ok(rendering.await?)
}

fn write(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
