//! What the audit forces after the load: it kills servers in the middle of a reservation, and gives pieces back while others wait.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::{Either, select};
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

/// Cancels a reservation and gives its piece back, as another program that works on this database would: the servers are not told.
const GIVE_BACK: &str = "WITH permits AS (
         SELECT sale_id FROM sale_permits WHERE sale_id = (SELECT sale_id FROM reservations WHERE id = $1) FOR UPDATE
     ), cancelled AS (
         UPDATE reservations SET status = 'cancelled', version = version + 1 FROM permits
         WHERE id = $1 AND reservations.sale_id = permits.sale_id RETURNING permits.sale_id
     )
     UPDATE sale_permits SET held = held - 1 FROM cancelled WHERE sale_permits.sale_id = cancelled.sale_id";

/// Ends a hold now.
const END_HOLD: &str = "UPDATE reservations SET expires_at = clock_timestamp() WHERE id = $1";

impl Round {
    /// Kills all servers at each moment of a reservation, and has its buyer reserve again. Returns at which moments they were killed.
    pub(super) async fn kill(&self, api: &Api, buyers: &[Uuid]) -> anyhow::Result<Vec<Moment>> {
        let mut reached = Vec::new();
        if api.replicas().is_none() {
            return Ok(reached);
        }
        for (moment, buyer) in Moment::ALL.into_iter().zip(buyers) {
            // So that it is this buyer's job or mail that is held up.
            sales::jobs_done(api).await?;
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

/// Gives the piece of a sale back several times while a buyer waits, and has another buyer come at that moment. At last, the hold ends by itself.
pub(super) async fn give_back(api: &Api) -> anyhow::Result<()> {
    let mut database = api.database().await?;
    let sale = sales::announce(api, 1, super::HOLD_SECONDS).await?.id;
    let come = async || {
        let buyer = Uuid::now_v7();
        anyhow::Ok((buyer, sales::reserve(api, sale, buyer).await?))
    };
    let (mut holder, mut first) = (come().await?, come().await?);
    let right = holder.1.is_held() && !first.1.is_held();
    ensure!(right, "of one piece, the first buyer got {:?}, and the second {:?}", holder.1, first.1);
    for _ in 0..GIVEN_BACK {
        let (buyer, reservation) = holder;
        match &mut database {
            Some(database) => {
                sqlx::query(GIVE_BACK).bind(reservation.id).execute(database).await?;
            }
            None => {
                let path = format!("/reservations/{}", reservation.id);
                api.of_buyer(Method::DELETE, &path, buyer).await?.with_status(200)?;
            }
        }
        let other = come().await?;
        ensure!(!other.1.is_held(), "a piece was given back, and a buyer who came at that moment got it before the one who waits");
        holder = (first.0, sales::comes_to_hold(api, first.1.id, first.0).await?);
        first = other;
    }
    if let Some(database) = &mut database {
        let (buyer, reservation) = holder;
        sqlx::query(END_HOLD).bind(reservation.id).execute(database).await?;
        let again = sales::reserve(api, sale, buyer).await.context("a hold has expired, and its buyer reserves again")?;
        let right = again.id != reservation.id && !again.is_held();
        ensure!(right, "a hold has expired, somebody waits, and its buyer got {again:?}");
        sales::comes_to_hold(api, first.1.id, first.0).await.context("a hold has expired")?;
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
