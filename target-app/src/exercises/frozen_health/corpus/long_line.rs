use std::sync::LazyLock;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::*;

/// A report to make, and who waits for it.
type Job = (OrderHistory, oneshot::Sender<Vec<u8>>);

/// Reports that may wait. There is an end to it, so that a rush cannot fill the memory.
const LINE: usize = 1_000;

static RENDERER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, mut line) = mpsc::channel::<Job>(LINE);
    thread::spawn(move || {
        while let Some((history, reply)) = line.blocking_recv() {
            let mut report = ReportWriter::new(&history.user);
            for order in &history.orders {
                report.add(order);
            }
            let _ = reply.send(report.finish());
        }
    });
    jobs
});

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let (reply, answer) = oneshot::channel();
    if RENDERER.try_send((history, reply)).is_err() {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(5) });
    }
    Ok(answer.await.expect("the renderer does not panic"))
}
