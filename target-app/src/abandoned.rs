//! Requests that were given up, and the transactions that they leave behind.
//!
//! A request whose client leaves is dropped where it stands. If that is while `BEGIN` is on its way, sqlx 0.9.0 takes the
//! connection back within the transaction (<https://github.com/transact-rs/sqlx/issues/4393>), and whoever gets it next works
//! in there: reads old data, or writes what is never committed. Until a release of sqlx ends such a transaction, this does.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use sqlx::PgConnection;

/// How long after a request was given up its connections may come back.
const COMES_BACK: Duration = Duration::from_secs(2);

/// When a request was last given up.
#[derive(Debug, Clone, Default)]
pub struct Abandoned(Arc<Mutex<Option<Instant>>>);

impl Abandoned {
    /// Ends the transaction that a connection may still be in, when it comes back soon after a request was given up.
    pub async fn end_transaction(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < COMES_BACK) {
            // `ROLLBACK` alone would have the server warn of a transaction that is not there.
            sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection).await?;
        }
        Ok(())
    }
}

/// Middleware that notes when a request is given up.
pub async fn watch(State(abandoned): State<Abandoned>, request: Request, next: Next) -> Response {
    let answer = pin!(next.run(request));
    // Declared after the request and so dropped before it: its connections must not come back unnoticed.
    let given_up = GivenUp(abandoned);
    let response = answer.await;
    std::mem::forget(given_up);
    response
}

struct GivenUp(Abandoned);

impl Drop for GivenUp {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
