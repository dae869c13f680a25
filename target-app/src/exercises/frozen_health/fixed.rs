use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::*;

/// Reports rendered at once: half of the processors, so that the other half go on answering.
pub fn slots() -> Semaphore {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
}

/// How long a request may wait for a slot. A longer line would only be made of clients that have given up.
const PATIENCE: Duration = Duration::from_millis(500);

pub async fn render(slots: &Arc<Semaphore>, history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let Ok(Ok(slot)) = timeout(PATIENCE, slots.clone().acquire_owned()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        // The slot is the thread's, not the request's: a client that hangs up does not stop the rendering.
        let _slot = slot;
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
