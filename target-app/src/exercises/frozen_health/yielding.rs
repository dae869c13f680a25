use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
        // A page takes about a millisecond; give the other requests a turn before the next.
        tokio::task::yield_now().await;
    }
    Ok(report.finish())
}
