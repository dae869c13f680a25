//! Servers that are killed in the middle of a reservation, each time at a moment that is forced.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use futures::future::{Either, select};
use simulated_providers::{Point, Release};
use uuid::Uuid;

use crate::api::Api;
use crate::checks::crowds::OtherTransaction;
use crate::checks::kills;
use crate::sales;

/// How far a reservation has come when its server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has been left to do yet.
    BeforeJob,
    /// The mailer has been asked for a confirmation that is never sent.
    BeforeMail,
    /// The confirmation is sent, and the server does not know.
    AfterMail,
}

impl Moment {
    /// All of them, in the sequence in which a reservation comes by.
    pub const ALL: [Moment; 3] = [Moment::BeforeJob, Moment::BeforeMail, Moment::AfterMail];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Moment::BeforeJob => "before a job was written",
            Moment::BeforeMail => "before a confirmation was sent",
            Moment::AfterMail => "after one was sent",
        }
    }
}

/// A lock of another session, under which jobs can be neither written nor taken.
const HOLD_JOBS_UP: &str = "LOCK TABLE sale_jobs IN SHARE MODE";

/// How long a reservation may take to come that far.
const REACHED: Duration = Duration::from_secs(4);

/// Sends a reservation, kills all servers, which are the lab's own, at this moment of it, and starts them again. Says whether it came that far.
///
/// # Errors
/// When the servers do not start again.
pub async fn kill_at(moment: Moment, api: &Api, sale: Uuid, buyer: Uuid) -> anyhow::Result<bool> {
    let providers = api.providers()?;
    let mut request = pin!(sales::reserve(api, sale, buyer));
    let reached = if moment == Moment::BeforeJob {
        let mut other =
            OtherTransaction::begin(api, HOLD_JOBS_UP).await?.context("the servers are the lab's own")?;
        // Each server has one worker, which waits as well.
        let workers = api.targets.len() as i64;
        let reached = tokio::select! {
            waits = other.comes_to_hold_up(workers + 1, REACHED) => waits?,
            _ = &mut request => false,
        };
        kills::kill_all(api).await;
        other.end_waiting().await?;
        other.commit().await?;
        reached
    } else {
        let (point, how) = match moment {
            Moment::BeforeMail => (Point::BeforeEffect, Release::Refuse),
            _ => (Point::AfterEffect, Release::Continue),
        };
        providers.hold("mail", point, 1).await?;
        // Whether the buyer has an answer by then is up to the solution.
        let held = match select(&mut request, pin!(providers.held("mail", 1))).await {
            Either::Left((_, held)) => held.await?,
            Either::Right((held, _)) => held?,
        };
        kills::kill_all(api).await;
        providers.release("mail", how).await?;
        held > 0
    };
    kills::start_all(api, &[]).await.with_context(|| format!("killed {}", moment.words()))?;
    Ok(reached)
}
