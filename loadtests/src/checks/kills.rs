//! Servers that are killed in the middle of a request that charges a card, each time at a moment that is forced.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use simulated_providers::{Point, Release};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::api::Api;

/// How far a request has come when its server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has asked the payment provider for a charge that is never made.
    BeforeCharge,
    /// It has asked for a charge that is made after the kill.
    DuringCharge,
    /// The card is charged, and the server does not know.
    BetweenChargeAndRecord,
    /// The card is charged, and the last of what the server records is not in the database.
    WhileRecording,
    /// Everything is in the database, and the client does not know.
    BetweenRecordAndResponse,
}

impl Moment {
    /// All of them, in the sequence in which a request comes by.
    pub const ALL: [Moment; 5] = [
        Moment::BeforeCharge,
        Moment::DuringCharge,
        Moment::BetweenChargeAndRecord,
        Moment::WhileRecording,
        Moment::BetweenRecordAndResponse,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Moment::BeforeCharge => "before the charge",
            Moment::DuringCharge => "during the charge",
            Moment::BetweenChargeAndRecord => "between charge and record",
            Moment::WhileRecording => "while it recorded the charge",
            Moment::BetweenRecordAndResponse => "between record and response",
        }
    }
}

/// So late the database answers a server that is to be killed before it knows what it has recorded.
const LATE_ANSWERS: [&str; 2] = ["--db-rtt", "150ms"];

/// How long a request may take to be recorded, with such answers.
const RECORDED: Duration = Duration::from_secs(4);

/// How long an answer has to arrive that was sent while its record was held up.
const ARRIVES: Duration = Duration::from_millis(200);

/// What a request changes in the database once the card is charged.
#[derive(Debug, Clone)]
pub struct Row {
    /// The first parameter of both statements.
    pub id: Uuid,
    /// Orders that were there before: the second parameter of `is_changed`.
    pub known: Vec<Uuid>,
    /// Holds the change up, and nothing else that the request does before.
    pub lock: &'static str,
    /// Whether it is changed: one boolean.
    pub is_changed: &'static str,
}

/// Sends `request`, kills all servers at this moment of it, and starts them again. Says whether the request came that far; none where the
/// servers are not the lab's own.
///
/// # Errors
/// When the servers do not start again.
pub async fn kill_at(
    moment: Moment,
    api: &Api,
    request: impl Future,
    row: Row,
) -> anyhow::Result<Option<bool>> {
    let (Some(replicas), Some(mut database)) = (api.replicas(), api.database().await?) else {
        return Ok(None);
    };
    let providers = api.providers()?;
    let all = || 0..api.targets.len();
    let mut request = pin!(request);
    let gate = match moment {
        Moment::BeforeCharge => Some((Point::BeforeEffect, Release::Refuse)),
        Moment::DuringCharge => Some((Point::BeforeEffect, Release::Continue)),
        Moment::BetweenChargeAndRecord => Some((Point::AfterEffect, Release::Continue)),
        Moment::WhileRecording | Moment::BetweenRecordAndResponse => None,
    };
    let reached = match gate {
        None if moment == Moment::WhileRecording => {
            let mut held_up = database.begin().await?;
            sqlx::query(row.lock).bind(row.id).execute(&mut *held_up).await?;
            let reached = tokio::select! {
                waits = waits_for(&mut held_up) => waits?,
                _ = &mut request => false,
            };
            if reached {
                // Whoever answers before everything is recorded does so now.
                let _ = tokio::time::timeout(ARRIVES, &mut request).await;
            }
            join_all(all().map(|server| replicas.kill(server))).await;
            // A statement that has arrived would still take effect: here its server was killed before it was sent.
            sqlx::query(END_WAITING).execute(&mut *held_up).await?;
            held_up.rollback().await?;
            reached
        }
        Some((point, _)) => {
            providers.hold("payments", point, 1).await?;
            tokio::select! {
                held = providers.held("payments", 1) => held? > 0,
                _ = &mut request => false,
            }
        }
        None => {
            try_join_all(all().map(|server| replicas.start(server, &LATE_ANSWERS))).await?;
            let has_recorded = async {
                let start = Instant::now();
                while start.elapsed() < RECORDED {
                    let asked = sqlx::query_scalar(row.is_changed).bind(row.id).bind(&row.known);
                    if asked.fetch_one(&mut database).await? {
                        return anyhow::Ok(true);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(false)
            };
            tokio::select! {
                recorded = has_recorded => recorded?,
                _ = &mut request => false,
            }
        }
    };
    join_all(all().map(|server| replicas.kill(server))).await;
    if let Some((_, how)) = gate {
        providers.release("payments", how).await?;
    }
    try_join_all(all().map(|server| replicas.start(server, &[])))
        .await
        .with_context(|| format!("killed {}", moment.words()))?;
    Ok(Some(reached))
}

const WAITING: &str =
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))";
const END_WAITING: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))";

/// Whether a statement comes to wait for what this connection has locked.
async fn waits_for(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let start = Instant::now();
    while start.elapsed() < RECORDED {
        if sqlx::query_scalar(WAITING).fetch_one(&mut *connection).await? {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(false)
}
