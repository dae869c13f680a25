use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

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

/// Reports that are kept, newest first.
const KEPT: usize = 16;

static REPORTS_MADE: Mutex<VecDeque<(OrderHistory, Vec<u8>)>> = Mutex::new(VecDeque::new());

fn made() -> MutexGuard<'static, VecDeque<(OrderHistory, Vec<u8>)>> {
    REPORTS_MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Each is kept with all that it was made of. A new order, or a changed one, is another history, so there is nothing
    // to invalidate.
    if let Some(pdf) = remembered(&history) {
        return Ok(pdf);
    }
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    // Somebody before us in the line may have wanted the same.
    if let Some(pdf) = remembered(&history) {
        return Ok(pdf);
    }
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        let pdf = pdf(&history);
        let mut made = made();
        made.push_front((history, pdf.clone()));
        made.truncate(KEPT);
        pdf
    });
    Ok(rendering.await?)
}

fn remembered(history: &OrderHistory) -> Option<Vec<u8>> {
    let user =
        |history: &OrderHistory| (history.user.id, history.user.name.clone(), history.user.email.clone());
    let made = made();
    let (_, pdf) = made.iter().find(|(of, _)| user(of) == user(history) && of.orders == history.orders)?;
    Some(pdf.clone())
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
