use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    Ok(report.finish())
}
