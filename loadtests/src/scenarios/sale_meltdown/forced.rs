//! What is done when the load is over, each at a moment that is forced: servers that are killed while a reservation is made, and pieces that are
//! given back while others wait.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use simulated_providers::{Point, Release};
use uuid::Uuid;

use super::{Round, come_again};
use crate::api::Api;
use crate::checks::crowds::OtherTransaction;
use crate::checks::kills;
use crate::sales;

/// How far a reservation has come when its server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing has been left to do yet.
    BeforeJob,
    /// The mailer has been asked for a confirmation that is never sent.
    BeforeMail,
    /// The confirmation is sent, and the server does not know.
    AfterMail,
}

impl Moment {
    pub(super) const ALL: [Moment; 3] = [Moment::BeforeJob, Moment::BeforeMail, Moment::AfterMail];

    fn words(self) -> &'static str {
        match self {
            Moment::BeforeJob => "before a job was written",
            Moment::BeforeMail => "before a confirmation was sent",
            Moment::AfterMail => "after one was sent",
        }
    }
}

/// Where servers were killed, in words.
pub(super) fn words(kills: &[Moment]) -> String {
    match kills {
        [] => "no server was killed on purpose".into(),
        _ => format!("killed {}", kills.iter().map(|moment| moment.words()).collect::<Vec<_>>().join(", ")),
    }
}

/// A lock of another session, under which jobs can be neither written nor taken.
const HOLD_JOBS_UP: &str = "LOCK TABLE sale_jobs IN SHARE MODE";

/// How long a reservation may take to come that far.
const REACHED: Duration = Duration::from_secs(4);

/// Pieces that are given back while others wait.
const GIVEN_BACK: usize = 6;

/// Ends a reservation and gives its piece back, as somebody else who works on this database would: the servers are not told.
const GIVE_BACK: &str = "WITH cancelled AS (
         UPDATE reservations SET status = 'cancelled', version = version + 1 WHERE id = $1 RETURNING sale_id
     )
     UPDATE sale_permits SET held = held - 1 FROM cancelled WHERE sale_permits.sale_id = cancelled.sale_id";

impl Round {
    /// Kills all servers at each moment of a reservation, and has its buyer come again. Returns where they were killed.
    pub(super) async fn kill(&self, api: &Api, buyers: &[Uuid]) -> anyhow::Result<Vec<Moment>> {
        let mut reached = Vec::new();
        if api.replicas().is_none() {
            return Ok(reached);
        }
        for (moment, buyer) in Moment::ALL.into_iter().zip(buyers) {
            if kill_at(moment, api, self.later, *buyer).await? {
                reached.push(moment);
            }
            let reservation = come_again(api, self.later, *buyer)
                .await
                .with_context(|| format!("servers were killed {}", moment.words()))?;
            ensure!(reservation.is_held(), "servers were killed {}, and now the buyer waits", moment.words());
        }
        Ok(reached)
    }
}

/// Gives pieces back while others wait, and has somebody come at that moment. Whoever has waited longest gets the piece.
pub(super) async fn jump_the_line(api: &Api) -> anyhow::Result<()> {
    let sale = sales::announce(api, 1, super::HOLD_SECONDS).await?.id;
    let come = async || {
        let buyer = Uuid::now_v7();
        anyhow::Ok((buyer, sales::reserve(api, sale, buyer).await?))
    };
    let (mut holder, mut first) = (come().await?, come().await?);
    for _ in 0..GIVEN_BACK {
        let (buyer, reservation) = holder;
        match api.database().await? {
            Some(mut database) => {
                sqlx::query(GIVE_BACK).bind(reservation.id).execute(&mut database).await?;
            }
            None => {
                let path = format!("/reservations/{}", reservation.id);
                api.of_buyer(Method::DELETE, &path, buyer).await?.with_status(200)?;
            }
        }
        let newcomer = come().await?;
        ensure!(
            !newcomer.1.is_held(),
            "a piece was given back, and whoever came at that moment got it before those who wait"
        );
        holder = (first.0, sales::comes_to_hold(api, first.1.id, first.0).await?);
        first = newcomer;
    }
    Ok(())
}

/// Sends a reservation, kills all servers at this moment of it, and starts them again. Says whether it came that far.
async fn kill_at(moment: Moment, api: &Api, sale: Uuid, buyer: Uuid) -> anyhow::Result<bool> {
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
        let both = async { futures::join!(&mut request, providers.held("mail", 1)).1 };
        let held = tokio::select! {
            held = both => held?,
            held = providers.held("mail", 1) => held?,
        };
        kills::kill_all(api).await;
        providers.release("mail", how).await?;
        held > 0
    };
    kills::start_all(api, &[]).await.with_context(|| format!("killed {}", moment.words()))?;
    Ok(reached)
}
