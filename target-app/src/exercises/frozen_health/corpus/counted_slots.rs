use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::spawn_blocking;

use super::*;

/// Reports that may be made at once.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    (processors / 2).max(1)
});

/// Reports that are being made.
static MAKING: AtomicUsize = AtomicUsize::new(0);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    if MAKING.fetch_add(1, Ordering::SeqCst) >= *MOST {
        MAKING.fetch_sub(1, Ordering::SeqCst);
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    }
    let rendered = spawn_blocking(move || pdf(&history)).await;
    // Before the question mark: a report that failed has to make room as well.
    MAKING.fetch_sub(1, Ordering::SeqCst);
    Ok(rendered?)
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
