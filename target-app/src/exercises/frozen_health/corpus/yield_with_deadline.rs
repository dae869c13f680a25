use tokio::time::timeout;

use super::*;

/// How long a report may take. Its client would not wait for longer.
const DEADLINE: Duration = Duration::from_millis(500);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Every page is a chance for others to run, and for the deadline to strike.
    let rendering = async {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
            tokio::task::yield_now().await;
        }
        report.finish()
    };
    timeout(DEADLINE, rendering).await.map_err(|_| RenderError::Busy { retry_after: Duration::from_secs(1) })
}
