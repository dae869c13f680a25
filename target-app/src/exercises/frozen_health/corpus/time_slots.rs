use std::sync::{Mutex, PoisonError};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::*;

/// A report a second is what the export is sized for. It leaves the processors to the rest of the service.
const EVERY: Duration = Duration::from_secs(1);

/// How long a request may wait for its time.
const PATIENCE: Duration = Duration::from_millis(500);

/// When the next report may begin.
static NEXT: Mutex<Option<Instant>> = Mutex::new(None);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let now = Instant::now();
    let begin = {
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = next.map_or(now, |next| next.max(now));
        if begin - now > PATIENCE {
            return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
        }
        *next = Some(begin + EVERY);
        begin
    };
    sleep_until(begin).await;
    let rendering = spawn_blocking(move || {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
