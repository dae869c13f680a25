use std::time::Instant;

use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        let begun = Instant::now();
        report.add(order);
        // As much rest as work: a report never takes more than half of a worker.
        tokio::time::sleep(begun.elapsed()).await;
    }
    Ok(report.finish())
}
