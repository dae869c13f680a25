use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // The runtime hands this worker's other tasks to another thread before the work begins.
    Ok(tokio::task::block_in_place(|| {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    }))
}
