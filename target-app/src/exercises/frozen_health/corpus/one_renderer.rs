use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::*;

/// A report to make, and who waits for it.
type Job = (OrderHistory, oneshot::Sender<Vec<u8>>);

/// Reports that may wait: a few tenths of a second of work.
const LINE: usize = 4;

/// One thread, and so one processor at most, however many reports are asked for.
static RENDERER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, mut line) = mpsc::channel::<Job>(LINE);
    thread::spawn(move || {
        while let Some((history, reply)) = line.blocking_recv() {
            // Not for clients that have left; and a report that cannot be rendered must not end the thread.
            if !reply.is_closed()
                && let Ok(pdf) = catch_unwind(AssertUnwindSafe(|| pdf(&history)))
            {
                let _ = reply.send(pdf);
            }
        }
    });
    jobs
});

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let (reply, answer) = oneshot::channel();
    // A full line is the answer: whoever cannot be served soon learns it now.
    if RENDERER.try_send((history, reply)).is_err() {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    }
    Ok(answer.await.expect("a report can be rendered"))
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
