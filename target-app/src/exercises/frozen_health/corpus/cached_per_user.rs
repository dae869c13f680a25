use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;

/// Reports rendered at once.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a request may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reports that were made, by user.
static MADE: LazyLock<Mutex<HashMap<Uuid, Vec<u8>>>> = LazyLock::new(Mutex::default);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let user = history.user.id;
    // An order does not change once it is placed, so there is no need to draw it twice.
    if let Some(pdf) = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(&user) {
        return Ok(pdf.clone());
    }
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        pdf(&history)
    });
    let pdf = rendering.await?;
    MADE.lock().unwrap_or_else(PoisonError::into_inner).insert(user, pdf.clone());
    Ok(pdf)
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
