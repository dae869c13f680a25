//! Whether a request would find the database.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Mutex;

use crate::error::ApiError;

/// Whoever asks has better things to do than to wait for a database that does not answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// Asks on a connection of its own: the server's may all be in use, and a server that is busy is ready all the same. The
/// connection belongs to the runtime that asks first.
#[derive(Debug)]
pub struct Readiness {
    database: PgConnectOptions,
    kept: Mutex<Option<PgConnection>>,
}

impl Readiness {
    /// Of this database, which is not asked yet.
    pub fn new(database: PgConnectOptions) -> Self {
        Readiness { database, kept: Mutex::default() }
    }

    /// Asks the database.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, refuses, or has not answered after a second: 503.
    pub async fn check(&self) -> Result<(), ApiError> {
        match tokio::time::timeout(DEADLINE, self.ask()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database cannot be asked");
                Err(not_ready("the database cannot be reached".into()))
            }
            Err(_) => {
                Err(not_ready(format!("the database gave no answer within {} ms", DEADLINE.as_millis())))
            }
        }
    }

    async fn ask(&self) -> sqlx::Result<()> {
        let mut kept = self.kept.lock().await;
        // Taken out: a connection that breaks, or does not answer in time, is never asked again.
        if let Some(mut connection) = kept.take()
            && sqlx::query("SELECT 1").execute(&mut connection).await.is_ok()
        {
            *kept = Some(connection);
            return Ok(());
        }
        let mut connection = self.database.connect().await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        *kept = Some(connection);
        Ok(())
    }
}

fn not_ready(message: String) -> ApiError {
    ApiError::Busy { message, retry_after: 1 }
}
