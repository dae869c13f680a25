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

/// The last report of each user.
static LAST: LazyLock<Mutex<HashMap<Uuid, Vec<u8>>>> = LazyLock::new(Mutex::default);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let user = history.user.id;
    let Ok(Ok(slot)) = timeout(PATIENCE, SLOTS.acquire()).await else {
        // Under load, the report of a minute ago is worth more than an error.
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).get(&user).cloned();
        return last.ok_or(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        pdf(&history)
    });
    let pdf = rendering.await?;
    LAST.lock().unwrap_or_else(PoisonError::into_inner).insert(user, pdf.clone());
    Ok(pdf)
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
