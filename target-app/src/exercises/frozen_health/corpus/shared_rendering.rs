use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::task::spawn_blocking;

use super::*;

type Rendering = Shared<BoxFuture<'static, Option<Arc<Vec<u8>>>>>;

/// The rendering that goes on.
static CURRENT: Mutex<Option<Rendering>> = Mutex::new(None);

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let rendering = {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            // Exports come in bunches, and all of a bunch want the same document: make it once for all of them. So no
            // more than one is ever being made.
            Some(rendering) if rendering.peek().is_none() => rendering.clone(),
            _ => {
                let made = spawn_blocking(move || pdf(&history));
                let rendering = async move { made.await.ok().map(Arc::new) }.boxed().shared();
                *current = Some(rendering.clone());
                rendering
            }
        }
    };
    match rendering.await {
        Some(pdf) => Ok(pdf.to_vec()),
        None => Err(RenderError::Busy { retry_after: Duration::from_secs(1) }),
    }
}

fn pdf(history: &OrderHistory) -> Vec<u8> {
    let mut report = ReportWriter::new(&history.user);
    for order in &history.orders {
        report.add(order);
    }
    report.finish()
}
