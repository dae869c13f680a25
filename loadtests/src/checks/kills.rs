//! Servers that are killed in the middle of a request that charges a card, each time at a moment that is forced.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use simulated_providers::{Point, Release};
use uuid::Uuid;

use crate::api::Api;

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
    /// Everything is in the database, and the client does not know.
    BetweenRecordAndResponse,
}

impl Moment {
    /// Those of every request that charges a card, in the sequence in which it comes by.
    pub const ALL: [Moment; 4] = [
        Moment::BeforeCharge,
        Moment::DuringCharge,
        Moment::BetweenChargeAndRecord,
        Moment::BetweenRecordAndResponse,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Moment::BetweenOrderAndCharge => "between order and charge",
            Moment::BeforeCharge => "before the charge",
            Moment::DuringCharge => "during the charge",
            Moment::BetweenChargeAndRecord => "between charge and record",
            Moment::BetweenRecordAndResponse => "between record and response",
        }
    }
}

/// A query that tells whether something is recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// It gives one boolean.
    pub question: &'static str,
    /// Its first parameter.
    pub id: Uuid,
    /// Its second parameter: what was there before.
    pub known: Vec<Uuid>,
}

/// So late the database answers a server that is to be killed before it knows what it has recorded.
const LATE_ANSWERS: [&str; 2] = ["--db-rtt", "150ms"];

/// How long a request may take to be recorded, with such answers.
const RECORDED: Duration = Duration::from_secs(4);

/// Sends `request`, kills all servers at this moment of it, and starts them again. `recorded` tells
/// whether the database has what is recorded right before this moment, where something is. Says whether the request came that far; none where the servers are not the lab's own.
///
/// # Errors
/// When the servers do not start again.
pub async fn kill_at(
    moment: Moment,
    api: &Api,
    request: impl Future,
    recorded: Recorded,
) -> anyhow::Result<Option<bool>> {
    let (Some(replicas), Some(mut database)) = (api.replicas(), api.database().await?) else {
        return Ok(None);
    };
    let providers = api.providers()?;
    let all = || 0..api.targets.len();
    let gate = match moment {
        Moment::BeforeCharge => Some((Point::BeforeEffect, Release::Refuse)),
        Moment::DuringCharge => Some((Point::BeforeEffect, Release::Continue)),
        Moment::BetweenChargeAndRecord => Some((Point::AfterEffect, Release::Continue)),
        Moment::BetweenOrderAndCharge | Moment::BetweenRecordAndResponse => None,
    };
    let reached = match gate {
        Some((point, _)) => {
            providers.hold("payments", point, 1).await?;
            tokio::select! {
                held = providers.held("payments", 1) => held? > 0,
                _ = request => false,
            }
        }
        None => {
            try_join_all(all().map(|server| replicas.start(server, &LATE_ANSWERS))).await?;
            let has_recorded = async {
                let start = Instant::now();
                while start.elapsed() < RECORDED {
                    let asked = sqlx::query_scalar(recorded.question).bind(recorded.id).bind(&recorded.known);
                    if asked.fetch_one(&mut database).await? {
                        return anyhow::Ok(true);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(false)
            };
            tokio::select! {
                recorded = has_recorded => recorded?,
                _ = request => false,
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
