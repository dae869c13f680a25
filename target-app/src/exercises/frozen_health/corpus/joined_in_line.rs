use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;

/// Reports rendered at once: half of the processors, so that the other half go on answering.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new((processors / 2).max(1))
});

/// How long a report may wait for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

const BUSY: RenderError = RenderError::Busy { retry_after: Duration::from_secs(1) };

type Answer = oneshot::Sender<Result<Vec<u8>, RenderError>>;

/// Who waits for the report of a user that is still in line. Once it is being rendered it is not joined any more, since the
/// user may have ordered something meanwhile.
static LINE: LazyLock<Mutex<HashMap<Uuid, Vec<Answer>>>> = LazyLock::new(Mutex::default);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let user = history.user.id;
    let (answer, answered) = oneshot::channel();
    let is_first = {
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = line.entry(user).or_default();
        waiting.push(answer);
        waiting.len() == 1
    };
    if is_first {
        // A task of its own: the others wait for it also when the first client hangs up.
        tokio::spawn(deliver(history));
    }
    answered.await.unwrap_or(Err(BUSY))
}

async fn deliver(history: OrderHistory) {
    let slot = timeout(PATIENCE, SLOTS.acquire()).await;
    let mut waiting =
        LINE.lock().unwrap_or_else(PoisonError::into_inner).remove(&history.user.id).unwrap_or_default();
    let Ok(Ok(slot)) = slot else {
        for answer in waiting {
            let _ = answer.send(Err(BUSY));
        }
        return;
    };
    waiting.retain(|answer| !answer.is_closed());
    let Some(last) = waiting.pop() else { return };
    let rendering = spawn_blocking(move || {
        let _slot = slot;
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    match rendering.await {
        Ok(pdf) => {
            for answer in waiting {
                let _ = answer.send(Ok(pdf.clone()));
            }
            let _ = last.send(Ok(pdf));
        }
        Err(error) => {
            let _ = last.send(Err(error.into()));
        }
    }
}
