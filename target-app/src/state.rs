//! What every handler can reach.

use std::sync::Arc;

use sqlx::PgPool;

use crate::exercises::Exercises;
use crate::providers::Providers;
use crate::telemetry::Telemetry;

/// What every handler can reach.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Connections to the database.
    pub pool: PgPool,
    /// The exercises, each as the variant that this server runs, with what it keeps while the server lives.
    pub exercises: Arc<Exercises>,
    /// Outside services to call.
    pub providers: Providers,
    /// What is measured.
    pub telemetry: Arc<Telemetry>,
}
