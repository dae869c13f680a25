//! Clients who come at one moment when the load is over: what no schedule of independent requests reaches reliably.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use sqlx::Connection;

use crate::api::Api;
use crate::scenarios::TIMEOUT;

/// Clients who leave, and how long each of them waits before.
const LEAVERS: usize = 8;
const LEAVING: Duration = Duration::from_millis(15);

/// How long nobody may be in the way of a lock on a table, once all requests have been answered.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";

/// Clients who take turns at one moment: so many of them, until each had so many turns or all had so much time.
const CLIENTS: usize = 16;
const TURNS: usize = 20;
const TURNS_TAKE: Duration = Duration::from_millis(300);

/// More clients at one moment than any pool has connections: code that takes a second connection while it holds one finds none.
const MORE_THAN_CONNECTIONS: usize = 32;

/// Has clients send `request` and leave while their answer is being made: meanwhile somebody else has `table` locked. On a
/// foreign server it is luck where they leave. Nothing that was begun for them may be in the way of `afterwards`.
pub async fn leave<R: Future>(
    api: &Api,
    table: &'static str,
    request: impl Fn() -> R,
    afterwards: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut connection = api.database().await?;
    let mut work = None;
    if let Some(connection) = &mut connection {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
        let lock = sqlx::AssertSqlSafe(format!("LOCK TABLE {table}"));
        let locked = sqlx::raw_sql(lock).execute(&mut *transaction).await;
        locked
            .with_context(|| format!("all requests are answered, and somebody still holds on to {table}"))?;
        work = Some(transaction);
    }
    join_all((0..LEAVERS).map(|_| tokio::time::timeout(LEAVING, request()))).await;
    if let Some(work) = work {
        work.rollback().await?;
    }
    tokio::time::timeout(TIMEOUT, afterwards).await.with_context(|| {
        format!("no answer within {} s after {LEAVERS} clients had left", TIMEOUT.as_secs())
    })?
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

/// Has more clients than there are connections do the same at one moment.
pub async fn all_at_once<R>(request: impl Fn() -> R) -> anyhow::Result<()>
where
    R: Future<Output = anyhow::Result<()>>,
{
    try_join_all((0..MORE_THAN_CONNECTIONS).map(|_| request())).await?;
    Ok(())
}
