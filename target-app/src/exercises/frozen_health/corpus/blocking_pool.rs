use tokio::task::spawn_blocking;

use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // Computing belongs on the threads for blocking work; tokio keeps them apart from the workers and bounds their number.
    let rendering = spawn_blocking(move || {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
