//! Ending a load before its time.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

/// A flag that is raised once, and stays so. Clones share it.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// A flag of its own, not raised.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// The flag that the first Ctrl-C raises. A second one ends the process at once, with status 130.
    ///
    /// goose installs a handler of its own, which would take the signal from whoever listens by other means (such as
    /// `tokio::signal::ctrl_c`) and end the process without any clean-up. The first handler stays, so call this before
    /// the first attack; [`drive`](super::drive) does too.
    pub fn on_ctrl_c() -> Self {
        static FLAG: OnceLock<Cancel> = OnceLock::new();
        FLAG.get_or_init(|| {
            let flag = Cancel::new();
            let raised = flag.clone();
            let installed = ctrlc::set_handler(move || {
                if raised.is_raised() {
                    std::process::exit(130);
                }
                raised.raise();
            });
            if let Err(error) = installed {
                tracing::warn!(%error, "Ctrl-C will not end the load: another handler is installed");
            }
            flag
        })
        .clone()
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// Whether the flag was raised.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the flag is raised.
    pub async fn raised(&self) {
        // Fails only when the sender is gone, which `self` holds.
        let _ = self.0.subscribe().wait_for(|raised| *raised).await;
    }
}
