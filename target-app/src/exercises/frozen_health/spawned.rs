use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    // A background task, so that the handler only waits and the server stays responsive.
    let rendering = tokio::spawn(async move {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
