use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Threads that render: half of the processors, so that the other half go on answering.
static RENDERERS: LazyLock<usize> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(2, usize::from);
    (processors / 2).max(1)
});

/// Requests whose report is being rendered or is next: a handful is never refused, however long their reports are.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(8 * *RENDERERS));

/// How long a request may wait for a place.
const PATIENCE: Duration = Duration::from_secs(1);

type Rendered = Result<Vec<u8>, Box<dyn Any + Send>>;

struct Job {
    history: OrderHistory,
    answer: oneshot::Sender<Rendered>,
}

struct Line {
    jobs: VecDeque<Job>,
    renderers: usize,
}

static LINE: Mutex<Line> = Mutex::new(Line { jobs: VecDeque::new(), renderers: 0 });
static ARRIVED: Condvar = Condvar::new();

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let busy = || RenderError::Busy { retry_after: Duration::from_secs(1) };
    // Held by the request, so that it is free again as soon as the client hangs up.
    let Ok(Ok(_place)) = timeout(PATIENCE, PLACES.acquire()).await else {
        return Err(busy());
    };
    let (answer, answered) = oneshot::channel();
    submit(Job { history, answer }).map_err(|_| busy())?;
    match answered.await {
        Ok(Ok(pdf)) => Ok(pdf),
        Ok(Err(panic)) => {
            // As if it had been a task.
            let failed: JoinHandle<Vec<u8>> = tokio::spawn(async move { resume_unwind(panic) });
            Ok(failed.await?)
        }
        // A renderer answers every job whose client is still there.
        Err(_) => Err(busy()),
    }
}

fn submit(job: Job) -> std::io::Result<()> {
    let mut line = line();
    while line.renderers < *RENDERERS {
        match thread::Builder::new().name("report".into()).spawn(work) {
            Ok(_) => line.renderers += 1,
            // Those that there are will do; the next request tries again.
            Err(_) if line.renderers > 0 => break,
            Err(error) => return Err(error),
        }
    }
    // Whoever has hung up takes no memory; the line is never long.
    line.jobs.retain(|job| !job.answer.is_closed());
    line.jobs.push_back(job);
    drop(line);
    ARRIVED.notify_one();
    Ok(())
}

fn work() {
    loop {
        let mut line = line();
        let job = loop {
            match line.jobs.pop_front() {
                Some(job) => break job,
                None => line = ARRIVED.wait(line).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(line);
        let Job { history, answer } = job;
        match catch_unwind(AssertUnwindSafe(|| write(&history, || answer.is_closed()))) {
            Ok(Some(pdf)) => drop(answer.send(Ok(pdf))),
            Ok(None) => {}
            Err(panic) => drop(answer.send(Err(panic))),
        }
    }
}

/// None when nobody wants the report any more.
fn write(history: &OrderHistory, is_unwanted: impl Fn() -> bool) -> Option<Vec<u8>> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        if is_unwanted() {
            return None;
        }
        report.add(order);
    }
    Some(report.finish())
}
