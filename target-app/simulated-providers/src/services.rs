//! All services together.

use std::sync::Arc;

use prometheus::Registry;

use crate::callbacks::Callbacks;
use crate::service::Service;

/// The services.
#[derive(Debug)]
pub(crate) struct Services {
    pub payments: Arc<Service>,
    pub fraud: Arc<Service>,
    pub mail: Arc<Service>,
    pub carrier: Arc<Service>,
    /// How late the payment provider's callbacks are.
    pub callback: Arc<Service>,
    pub callbacks: Callbacks,
    pub registry: Registry,
}

impl Services {
    pub fn all(&self) -> [&Arc<Service>; 5] {
        [&self.payments, &self.fraud, &self.mail, &self.carrier, &self.callback]
    }
}
