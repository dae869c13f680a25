use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;

/// Reports rendered at once: half of the processors, so that the other half go on answering.
static AT_ONCE: LazyLock<usize> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    (processors / 2).max(1)
});

static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(*AT_ONCE));

/// Requests whose report is being rendered or is next: a handful is never refused, however long the reports are.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(8 * *AT_ONCE));

/// How long a request may wait for a place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are kept, about, and how many reports.
const MOST_BYTES: usize = 32 * 1024 * 1024;
const MOST_REPORTS: usize = 256;

/// A report and all that it was made of.
struct Made {
    history: OrderHistory,
    pdf: Vec<u8>,
    bytes: usize,
}

impl Made {
    fn new(history: OrderHistory, pdf: Vec<u8>) -> Self {
        let lines: usize = history.orders.iter().map(|order| order.items.len()).sum();
        // With their texts and what the allocator adds; the names are short.
        let bytes = pdf.len() + 256 * history.orders.len() + 128 * lines + 1024;
        Made { history, pdf, bytes }
    }

    fn is_of(&self, history: &OrderHistory) -> bool {
        let (mine, theirs) = (&self.history.user, &history.user);
        mine.id == theirs.id
            && mine.name == theirs.name
            && mine.email == theirs.email
            && self.history.orders == history.orders
    }
}

/// The last report of some users, with when it was last asked for.
#[derive(Default)]
struct Cache {
    reports: HashMap<Uuid, (u64, Arc<Made>)>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    fn get(&mut self, user: Uuid) -> Option<Arc<Made>> {
        self.clock += 1;
        let (used, made) = self.reports.get_mut(&user)?;
        *used = self.clock;
        Some(made.clone())
    }

    fn put(&mut self, made: Arc<Made>) {
        // One that would drive out most of the others is not worth it.
        if made.bytes > MOST_BYTES / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += made.bytes;
        if let Some((_, before)) = self.reports.insert(made.history.user.id, (self.clock, made)) {
            self.bytes -= before.bytes;
        }
        while self.bytes > MOST_BYTES || self.reports.len() > MOST_REPORTS {
            let oldest = self.reports.iter().min_by_key(|(_, (used, _))| *used).map(|(user, _)| *user);
            let Some((_, gone)) = oldest.and_then(|user| self.reports.remove(&user)) else { break };
            self.bytes -= gone.bytes;
        }
    }
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

/// The report of exactly this history, if there is one. It is compared and copied without the lock.
fn cached(history: &OrderHistory) -> Option<Vec<u8>> {
    let made = CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(history.user.id)?;
    made.is_of(history).then(|| made.pdf.clone())
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let busy = || RenderError::Busy { retry_after: Duration::from_secs(1) };
    if let Some(pdf) = cached(&history) {
        return Ok(pdf);
    }
    let Ok(Ok(_place)) = timeout(PATIENCE, PLACES.acquire()).await else {
        return Err(busy());
    };
    let slot = SLOTS.acquire().await.map_err(|_| busy())?;
    // Somebody ahead in the line may have wanted the same.
    if let Some(pdf) = cached(&history) {
        return Ok(pdf);
    }
    let rendering = spawn_blocking(move || {
        // The thread's, not the request's: a client that hangs up does not stop the rendering.
        let _slot = slot;
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        let pdf = report.finish();
        let made = Arc::new(Made::new(history, pdf.clone()));
        CACHE.lock().unwrap_or_else(PoisonError::into_inner).put(made);
        pdf
    });
    Ok(rendering.await?)
}
