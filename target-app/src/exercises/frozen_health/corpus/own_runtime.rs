use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use super::*;

/// Reports have a runtime of their own, so that however many there are, the one that answers requests does not notice. One
/// worker leaves the other processors to it.
static REPORTS_RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).thread_name("reports").build().expect("the system has a thread for it")
});

pub async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError> {
    let rendering = REPORTS_RUNTIME.spawn(async move {
        let mut report = ReportWriter::new(&history.user);
        for order in &history.orders {
            report.add(order);
        }
        report.finish()
    });
    Ok(rendering.await?)
}
