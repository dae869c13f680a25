use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::*;

/// A report to make, and who waits for it.
type Job = (OrderHistory, oneshot::Sender<Vec<u8>>);

/// Reports that may wait for each thread: more would only be made for clients that have given up.
const LINE: usize = 4;

static RENDERERS: LazyLock<SyncSender<Job>> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(2, usize::from);
    // The other half of the processors go on answering.
    let threads = (processors / 2).max(1);
    let (jobs, line) = sync_channel(LINE * threads);
    let line = Arc::new(Mutex::new(line));
    for _ in 0..threads {
        let line = line.clone();
        thread::spawn(move || work(&line));
    }
    jobs
});

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let (reply, answer) = oneshot::channel();
    if RENDERERS.try_send((history, reply)).is_err() {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    }
    Ok(answer.await.expect("a report can be rendered"))
}

fn work(line: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits for a job, the others for the lock; both cost nothing.
        let job = line.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((history, reply)) = job else { return };
        if reply.is_closed() {
            continue;
        }
        // A report that cannot be rendered must not cost the thread: its client learns it when the reply is dropped.
        if let Ok(pdf) = catch_unwind(AssertUnwindSafe(|| pdf(&history))) {
            let _ = reply.send(pdf);
        }
    }
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
