use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once. Each of them costs the runtime a thread, which it replaces, and a processor, which nobody
/// replaces: half of them have to stay.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a request may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let Ok(Ok(_slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    // It cannot be cancelled half-way, so the slot is held exactly as long as it is used.
    Ok(block_in_place(|| {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    }))
}
