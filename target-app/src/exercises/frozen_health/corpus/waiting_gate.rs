use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use super::*;

/// How long a request may wait for its turn.
const PATIENCE: Duration = Duration::from_millis(500);

static GATE: LazyLock<Arc<Gate>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Arc::new(Gate { free: Mutex::new((processors / 2).max(1)), freed: Condvar::new() })
});

/// Lets a bounded number of renderings in.
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Gate {
    /// A place, or nothing when none has become free within `patience`.
    fn enter(self: &Arc<Self>, patience: Duration) -> Option<Place> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .freed
            .wait_timeout_while(free, patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(self.clone()))
    }
}

/// A place behind the gate, given back when dropped: also when the renderer panics.
struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let Some(place) = GATE.enter(PATIENCE) else {
        return Err(RenderError::Busy { retry_after: Duration::from_secs(1) });
    };
    let rendering = spawn_blocking(move || {
        // The place belongs to the thread, so a client that hangs up does not free it early.
        let _place = place;
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
