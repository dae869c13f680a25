//! What no schedule of independent requests reaches reliably, done when the load is over: clients who come at one moment, and
//! requests that meet somebody else's transaction.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use sqlx::{Connection, PgConnection};

use crate::api::Api;
use crate::load::TIMEOUT;

/// Clients who leave, and how long each of them waits before.
const LEAVERS: usize = 8;
const LEAVING: Duration = Duration::from_millis(15);

/// How long nobody may be in the way of a lock, once all requests have been answered.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";

/// How long to wait for requests to be held up. Code that does not need what is locked never is.
const HELD_UP: Duration = Duration::from_millis(500);

/// Clients who take turns at one moment: so many of them, until each had so many turns or all had so much time.
const CLIENTS: usize = 16;
const TURNS: usize = 20;
const TURNS_TAKE: Duration = Duration::from_millis(300);

/// More clients at one moment than a pool has connections: code that takes a second connection while it holds one finds none.
const MORE_THAN_CONNECTIONS: usize = 32;

/// The connections of a pool, unless somebody chose otherwise.
pub const CONNECTIONS: i64 = 10;

/// Somebody else's transaction in the servers' database. It ends when it is dropped.
#[derive(Debug)]
pub struct OtherTransaction(PgConnection);

impl OtherTransaction {
    /// Begins with these statements, such as a lock; none in the database of a foreign server.
    ///
    /// # Errors
    /// When a request that was answered still holds on to what they need.
    pub async fn begin(api: &Api, statements: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(mut connection) = api.database().await? else { return Ok(None) };
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut connection).await?;
        let begun = sqlx::raw_sql(statements).execute(&mut connection).await;
        begun.context("every request is answered, and one still holds on to what it locked")?;
        Ok(Some(OtherTransaction(connection)))
    }

    /// Its connection, for further statements.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Waits until so many statements of the servers wait for it, or for one that does, or long enough.
    pub async fn holds_up(&mut self, statements: i64) -> anyhow::Result<()> {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.comes_to(waiting, statements, HELD_UP).await.map(drop)
    }

    /// Whether so many statements of the servers come to wait for it within this time.
    pub async fn comes_to_hold_up(&mut self, statements: i64, within: Duration) -> anyhow::Result<bool> {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))";
        self.comes_to(waiting, statements, within).await
    }

    async fn comes_to(&mut self, count: &'static str, least: i64, within: Duration) -> anyhow::Result<bool> {
        let start = Instant::now();
        while start.elapsed() < within {
            if sqlx::query_scalar::<_, i64>(count).fetch_one(&mut self.0).await? >= least {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(false)
    }

    /// Ends the statements that wait for it, and their connections.
    pub async fn end_waiting(&mut self) -> anyhow::Result<()> {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))";
        sqlx::query(end).execute(&mut self.0).await?;
        Ok(())
    }

    /// Makes what it did visible to others.
    pub async fn commit(mut self) -> anyhow::Result<()> {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await?;
        Ok(self.0.close().await?)
    }
}

/// Has clients send `request` and leave while their answer is being made: meanwhile somebody else does `lock`. On a foreign
/// server it is luck where they leave. Nothing that was begun for them may be in the way of `afterwards`.
pub async fn leave<R: Future>(
    api: &Api,
    lock: &'static str,
    request: impl Fn() -> R,
    afterwards: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let other = OtherTransaction::begin(api, lock).await?;
    join_all((0..LEAVERS).map(|_| tokio::time::timeout(LEAVING, request()))).await;
    if let Some(other) = other {
        other.commit().await?;
    }
    in_time("clients had left", afterwards).await
}

/// What `work` comes to, if it does not take longer than a request may. `after` is what could have kept it.
pub async fn in_time<T>(after: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .with_context(|| format!("no answer within {} s after {after}", TIMEOUT.as_secs()))?
}

/// Has clients take turns at one moment: each starts its next `turn`, which gets the client's number, when its last has ended.
pub async fn take_turns<R>(turn: impl Fn(usize) -> R) -> anyhow::Result<()>
where
    R: Future<Output = anyhow::Result<()>>,
{
    let start = Instant::now();
    let client = async |number| {
        for round in 0..TURNS {
            if round > 0 && start.elapsed() > TURNS_TAKE {
                break;
            }
            turn(number).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..CLIENTS).map(client)).await?;
    Ok(())
}

/// Has more clients than there are connections come at one moment, while somebody else does `lock`, if anything. `request` gets the
/// client's number. It must not ask again where it is refused: that is how code without a connection shows.
pub async fn all_at_once<R>(
    api: &Api,
    lock: Option<&'static str>,
    request: impl Fn(usize) -> R,
) -> anyhow::Result<()>
where
    R: Future<Output = anyhow::Result<()>>,
{
    let other = match lock {
        Some(lock) => OtherTransaction::begin(api, lock).await?,
        None => None,
    };
    // When everybody who can have a connection has one.
    let let_go = async {
        if let Some(mut other) = other {
            other.holds_up(CONNECTIONS).await?;
            other.commit().await?;
        }
        Ok(())
    };
    let answered = try_join_all((0..MORE_THAN_CONNECTIONS).map(request));
    futures::try_join!(answered, let_go)?;
    Ok(())
}
