use std::thread;

use tokio::sync::oneshot;

use super::*;

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let (reply, answer) = oneshot::channel();
    // A thread of its own: the scheduler of the system shares the processors out fairly, and no worker is ever blocked.
    let started = thread::Builder::new().name("report".into()).spawn(move || {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        // Nobody may want it any more.
        let _ = reply.send(report.finish());
    });
    match started {
        Ok(_) => Ok(answer.await.expect("the renderer does not panic")),
        // The system has no thread to spare.
        Err(_) => Err(RenderError::Busy { retry_after: Duration::from_secs(1) }),
    }
}
