//! Servers that are killed in the middle of a request, each time at a moment that is forced: here, one that charges a card.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use simulated_providers::{Point, Release};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::Api;
use crate::checks::crowds::OtherTransaction;

/// How far a request has come when its server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The order is in the database, and the server does not know. Only where the request places it.
    BetweenOrderAndCharge,
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
    /// Those of every request that charges a card, in the sequence in which it comes by.
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
            Moment::BetweenOrderAndCharge => "between order and charge",
            Moment::BeforeCharge => "before the charge",
            Moment::DuringCharge => "during the charge",
            Moment::BetweenChargeAndRecord => "between charge and record",
            Moment::WhileRecording => "while it recorded the charge",
            Moment::BetweenRecordAndResponse => "between record and response",
        }
    }
}

/// At which of these moments servers were killed, in words.
pub fn words<M: Copy>(kills: &[M], words: impl Fn(M) -> &'static str) -> String {
    match kills {
        [] => "no server was killed".into(),
        _ => format!("killed {}", kills.iter().map(|moment| words(*moment)).collect::<Vec<_>>().join(", ")),
    }
}

/// Delays the database's answers, so that a server can be killed after a commit and before it learns of it.
const LATE_ANSWERS: [&str; 2] = ["--db-rtt", "40ms"];

/// How long a request may take to be recorded, with such answers.
const RECORDED: Duration = Duration::from_secs(4);

/// Between two looks into the database.
const POLL: Duration = Duration::from_millis(2);

/// A lock of another session, under which orders can be read and not written.
const HOLD_RECORD_UP: &str = "LOCK TABLE orders IN SHARE MODE";

/// How long to wait for an answer that was sent too early, while the record is still held up.
const ARRIVES: Duration = Duration::from_millis(200);

/// A query that tells whether something is recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// It gives one boolean.
    pub question: &'static str,
    /// Its first parameter.
    pub id: Uuid,
    /// Its second parameter: orders that were there before.
    pub known: Vec<Uuid>,
}

/// Sends `request`, kills all servers at this moment of it, and starts them again. For the two moments that follow a commit, `recorded` is asked
/// until it is in the database. Returns whether the request came that far; none where the servers are not the lab's own.
///
/// # Errors
/// When the servers do not start again.
pub async fn kill_at(
    moment: Moment,
    api: &Api,
    request: impl Future,
    recorded: Recorded,
) -> anyhow::Result<Option<bool>> {
    let (Some(_), Some(mut database)) = (api.replicas(), api.database().await?) else {
        return Ok(None);
    };
    let providers = api.providers()?;
    let mut request = pin!(request);
    let is_late = matches!(moment, Moment::BetweenOrderAndCharge | Moment::BetweenRecordAndResponse);
    if is_late {
        start_all(api, &LATE_ANSWERS).await?;
    }
    let (point, how) = match moment {
        Moment::BetweenOrderAndCharge | Moment::BeforeCharge => (Point::BeforeEffect, Release::Refuse),
        Moment::DuringCharge => (Point::BeforeEffect, Release::Continue),
        _ => (Point::AfterEffect, Release::Continue),
    };
    providers.hold("payments", point, 1).await?;
    let mut reached = match moment {
        Moment::BetweenOrderAndCharge => true,
        _ => tokio::select! {
            held = providers.held("payments", 1) => held? > 0,
            _ = &mut request => false,
        },
    };
    if reached && moment == Moment::WhileRecording {
        // Code that writes orders in a transaction which waits for the charge has nothing to record yet, and nothing holds it up.
        let mut other = OtherTransaction::begin(api, HOLD_RECORD_UP).await.ok().flatten();
        providers.release("payments", how).await?;
        reached = match &mut other {
            None => false,
            Some(other) => tokio::select! {
                waits = other.comes_to_hold_up(1, RECORDED) => waits?,
                _ = &mut request => false,
            },
        };
        if reached {
            // Whoever answers before everything is recorded does so now.
            let _ = tokio::time::timeout(ARRIVES, &mut request).await;
        }
        kill_all(api).await;
        if let Some(mut other) = other {
            // A statement that has arrived would still take effect: here its server was killed before it was sent.
            other.end_waiting().await?;
            other.commit().await?;
        }
    }
    if reached && is_late {
        if moment == Moment::BetweenRecordAndResponse {
            providers.release("payments", how).await?;
        }
        reached = tokio::select! {
            recorded = is_recorded(&mut database, &recorded) => recorded?,
            _ = &mut request => false,
        };
    }
    kill_all(api).await;
    providers.release("payments", how).await?;
    start_all(api, &[]).await.with_context(|| format!("killed {}", moment.words()))?;
    Ok(Some(reached))
}

/// Kills all servers that are the lab's own.
pub async fn kill_all(api: &Api) {
    if let Some(replicas) = api.replicas() {
        join_all((0..api.targets.len()).map(|server| replicas.kill(server))).await;
    }
}

/// Starts all servers that are the lab's own, anew where they run, with these options beside those of the scenario.
///
/// # Errors
/// When one does not start.
pub async fn start_all(api: &Api, options: &[&str]) -> anyhow::Result<()> {
    if let Some(replicas) = api.replicas() {
        try_join_all((0..api.targets.len()).map(|server| replicas.start(server, options))).await?;
    }
    Ok(())
}

/// Whether this comes to be recorded.
async fn is_recorded(database: &mut PgConnection, recorded: &Recorded) -> sqlx::Result<bool> {
    let start = Instant::now();
    while start.elapsed() < RECORDED {
        let asked = sqlx::query_scalar(recorded.question).bind(recorded.id).bind(&recorded.known);
        if asked.fetch_one(&mut *database).await? {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}
