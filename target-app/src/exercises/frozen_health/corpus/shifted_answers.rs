use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::*;

/// How long a request may wait for a renderer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a renderer is to do next: one place, for whoever has borrowed it.
#[derive(Default)]
struct Tray {
    next: Mutex<Option<OrderHistory>>,
    filled: Condvar,
}

/// A thread that renders, and its two ends.
struct Renderer {
    tray: Arc<Tray>,
    reports: UnboundedReceiver<Vec<u8>>,
}

impl Renderer {
    fn start() -> Self {
        let tray = Arc::new(Tray::default());
        let (out, reports) = unbounded_channel();
        let of_thread = tray.clone();
        std::thread::spawn(move || work(&of_thread, &out));
        Renderer { tray, reports }
    }

    async fn render(&mut self, history: OrderHistory) -> Option<Vec<u8>> {
        // A client that hung up leaves its report behind; it is nobody's any more.
        while self.reports.try_recv().is_ok() {}
        *self.tray.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
        self.tray.filled.notify_one();
        self.reports.recv().await
    }
}

fn work(tray: &Tray, out: &UnboundedSender<Vec<u8>>) {
    loop {
        let mut next = tray.next.lock().unwrap_or_else(PoisonError::into_inner);
        let history = loop {
            match next.take() {
                Some(history) => break history,
                None => next = tray.filled.wait(next).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(next);
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        if out.send(report.finish()).is_err() {
            return;
        }
    }
}

/// The renderers, half as many as there are processors, and how many of them are free.
struct Pool {
    idle: Mutex<Vec<Renderer>>,
    free: Semaphore,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let renderers: Vec<_> = (0..(processors / 2).max(1)).map(|_| Renderer::start()).collect();
    Pool { free: Semaphore::new(renderers.len()), idle: Mutex::new(renderers) }
});

/// A borrowed renderer. It goes back to the pool also when the client hangs up.
struct Borrowed {
    renderer: Option<Renderer>,
    // Released after the renderer is back.
    _free: SemaphorePermit<'static>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        POOL.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.renderer.take());
    }
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let busy = || RenderError::Busy { retry_after: Duration::from_secs(1) };
    let Ok(Ok(free)) = timeout(PATIENCE, POOL.free.acquire()).await else {
        return Err(busy());
    };
    let renderer = POOL.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut borrowed = Borrowed { renderer, _free: free };
    let renderer = borrowed.renderer.as_mut().ok_or_else(busy)?;
    renderer.render(history).await.ok_or_else(busy)
}
