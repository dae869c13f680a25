//! `sale-meltdown`: a few buyers per second, then a spike of more buyers than there are pieces. Shortly before the spike, a server is killed and
//! started again.

mod contract;
mod forced;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt, TryStreamExt};
use rand::RngExt;
use rand_pcg::Pcg64;
use reqwest::Method;
use simulated_providers::Profile;
use target_app::exercises::sale_meltdown::EXERCISE;
use uuid::Uuid;

use super::{Clause, Shape, Spec, TIMEOUT};
use crate::api::Api;
use crate::checks::kills;
use crate::checks::reservations::Moment;
use crate::checks::{Audit, Findings, check, judged, no_failures, p99_within, seen, signal};
use crate::faults::{Fault, Trouble};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, lock, status_reason};
use crate::payments;
use crate::sales::{self, Reservation};

/// Buyers a second before the spike, and at it.
const CALM_RATE: f64 = 30.0;
const SPIKE_RATE: f64 = 500.0;
/// When the spike begins, as a share of the load.
const SPIKE_FROM: f64 = 0.35;
/// Of this many buyers, one presses the button twice.
const TWICE: u32 = 10;
/// Pieces, as a share of the buyers.
const STOCK: f64 = 0.5;
/// For how long they are held: longer than the round.
const HOLD_SECONDS: u32 = 3_600;

/// When a server is killed at the earliest and at the latest, and for how long it is away, as shares of the load.
const KILLED: std::ops::Range<f64> = 0.12..0.22;
const AWAY: f64 = 0.05;

/// The mailer, and as it is for a part of the spike.
const MAILER: Profile = Profile { base_ms: 10, jitter_ms: 10, ..Profile::CALM };
const SLOW_MAILER: Profile = Profile { base_ms: 600, ..MAILER };
/// When the mailer becomes slow, and for how long, as shares of the load.
const SLOW_FROM: f64 = 0.6;
const SLOW_FOR: f64 = 0.15;

/// What an acknowledgement may take at the spike.
const LIMIT_US: u64 = 200_000;

/// How long whoever was cut off may have to try again.
const RECOVERY: Duration = Duration::from_secs(5);
pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        // Two replicas: what one process counts must not be taken for a fix.
        shape: Shape { rate: None, duration: Duration::from_millis(3_000), replicas: 2 },
        total_rate: |rate| rate.unwrap_or(SPIKE_RATE) * 1.2,
        needs: &[("spike", 300)],
        patience: TIMEOUT,
        reference_statements: 1,
        limits: &[Duration::from_micros(LIMIT_US)],
        needs_schedule: true,
        // The database is half a millisecond away, so a lock that is kept between two statements is kept for that long. Connections are opened
        // beforehand, so the spike does not measure them.
        server: &["--db-rtt", "500us", "--warm-connections", "10"],
        providers: true,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        let providers = api.providers()?;
        providers.set_profile("mail", &MAILER).await?;
        let rate = shape.rate.unwrap_or(SPIKE_RATE);
        let from = shape.duration.mul_f64(SPIKE_FROM);
        let calm = arrivals::poisson(&mut rng, CALM_RATE, from);
        let spike = arrivals::poisson(&mut rng, rate, shape.duration - from);
        let schedule: Vec<Duration> = calm.into_iter().chain(spike.into_iter().map(|at| from + at)).collect();
        let stock = (schedule.len() as f64 * STOCK) as i64;
        let sale = sales::announce(api, stock, HOLD_SECONDS).await?.id;
        let later = sales::announce(api, Moment::ALL.len() as i64, HOLD_SECONDS).await?.id;

        let mut tickets = Vec::new();
        let mut buyers = BTreeSet::new();
        for at in schedule {
            let buyer = Uuid::from_u128(rng.random());
            let name = if at < from { "calm" } else { "spike" };
            let request = sales::request(name, Method::POST, sales::reservations(sale), buyer);
            if rng.random_ratio(1, TWICE) {
                tickets.push(Ticket { at, request: Request { name: "again", ..request.clone() } });
            }
            tickets.push(Ticket { at, request });
            buyers.insert(buyer);
        }
        let killed = shape.duration.mul_f64(rng.random_range(KILLED));
        let away = shape.duration.mul_f64(AWAY);
        let slow = (shape.duration.mul_f64(SLOW_FROM), shape.duration.mul_f64(SLOW_FOR));
        // The mails of the contract are not this load's.
        sales::jobs_done(api).await?;
        let sent_before = providers.ledger("mail").await?.len();
        let (acknowledged, flaws) = Default::default();
        let round =
            Round { rate, sale, later, stock, buyers, killed, away, slow, sent_before, acknowledged, flaws };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        let clean = "every request is acknowledged with 202";
        Findings {
            checks: vec![
                p99_within(&EXERCISE, "spike-p99", load, "spike", LIMIT_US),
                no_failures(&EXERCISE, "only-clean-answers", clean, load),
            ],
            signals: Vec::new(),
        }
    }
}

/// Reserves a piece for a buyer who may already have a reservation.
async fn come_again(api: &Api, sale: Uuid, buyer: Uuid) -> anyhow::Result<Reservation> {
    let path = sales::reservations(sale);
    let reply = payments::until_settled(RECOVERY, || api.of_buyer(Method::POST, &path, buyer)).await?;
    reply.with_status(202)?.json()
}

pub struct Round {
    rate: f64,
    sale: Uuid,
    /// Another sale, for what is done when the load is over.
    later: Uuid,
    stock: i64,
    buyers: BTreeSet<Uuid>,
    killed: Duration,
    away: Duration,
    /// When the mailer becomes slow, and for how long.
    slow: (Duration, Duration),
    /// Entries of the mailer's ledger before the load.
    sent_before: usize,
    /// The first reservation of each buyer that was acknowledged.
    acknowledged: Mutex<BTreeMap<Uuid, Reservation>>,
    /// What was wrong with an answer.
    flaws: Mutex<Vec<String>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "Poisson arrivals over {servers}: {CALM_RATE:.0} buyers a second, then {:.0}, for {} pieces. One in {TWICE} presses the button \
             twice. A server is killed and started again before the spike. The mailer takes 10 to 20 ms, and 600 ms for a part of the spike",
            self.rate, self.stock
        )
    }

    fn faults(&self) -> Vec<Fault> {
        let slow = Trouble::Provider("the mailer is slow", "mail", SLOW_MAILER);
        vec![
            Fault { at: self.killed, lasts: self.away, what: Trouble::Killed(0) },
            Fault { at: self.slow.0, lasts: self.slow.1, what: slow },
        ]
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        let buyer = request.headers.first().and_then(|(_, id)| id.to_str().ok()?.parse().ok());
        match (answer.status, buyer, Reservation::read(answer.body)) {
            (202, Some(buyer), Ok(reservation)) => self.acknowledged(buyer, reservation),
            (202, ..) => Outcome::Failed("not-a-reservation"),
            (status, ..) => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, _: &Load) -> anyhow::Result<Audit> {
        let mut recovered = judged(self.serve_cut_off(api).await)?;
        let killed: Vec<Uuid> = Moment::ALL.iter().map(|_| Uuid::now_v7()).collect();
        let mut kills = Vec::new();
        if recovered.is_ok() {
            match judged(self.kill(api, &killed).await)? {
                Ok(reached) => kills = reached,
                Err(error) => recovered = Err(error),
            }
        }
        sales::jobs_done(api).await?;

        let acknowledged = lock(&self.acknowledged).clone();
        let found = sales::read_all(api, &acknowledged).await?;
        let held: BTreeSet<Uuid> =
            found.iter().flatten().filter(|found| found.is_held()).map(|found| found.id).collect();
        let within = self.ensure_within_stock(held.len());
        let recorded = judged(self.ensure_recorded(api, &acknowledged, &found, held.len()).await)?;
        let notified = judged(self.ensure_notified(api, &held, &killed).await)?;
        let served = judged(forced::give_back(api).await)?;

        let (stock, held) = (self.stock, held.len());
        let checks = vec![
            check(
                &EXERCISE,
                "reserved-within-stock",
                within.is_ok(),
                format!("at most {stock} reservations are held"),
                seen(&within, format!("{held} are held")),
            ),
            check(
                &EXERCISE,
                "reservations-recorded",
                recorded.is_ok(),
                "every reservation is as it was acknowledged, and none waits while a piece is free",
                seen(&recorded, format!("{} buyers, each with a reservation", acknowledged.len())),
            ),
            check(
                &EXERCISE,
                "buyers-notified",
                notified.is_ok(),
                "each held reservation has one confirmation, and no other has any",
                format!(
                    "{}; {}",
                    seen(&notified, "each has one".into()),
                    kills::words(&kills, Moment::words)
                ),
            ),
            check(
                &EXERCISE,
                "first-come-first-served",
                served.is_ok(),
                "a piece that is given back, or whose hold has expired, goes to the buyer who has waited longest",
                seen(&served, "it did".into()),
            ),
            check(
                &EXERCISE,
                "recovers",
                recovered.is_ok(),
                format!("every buyer who was cut off has a reservation within {RECOVERY:?}"),
                seen(&recovered, "all have".into()),
            ),
        ];
        let oversold = (held as i64 - stock).max(0);
        let signals = vec![signal("pieces oversold", oversold as f64, "pieces", Some(0.0))];
        let sentence = match within.and(recorded).and(notified).and(served).and(recovered) {
            Ok(()) => format!("{held} of {stock} pieces held, {} buyers wait", acknowledged.len() - held),
            Err(error) => format!("{error:#}"),
        };
        Ok(Audit { sentence, findings: Findings { checks, signals } })
    }
}

impl Round {
    /// Keeps the reservation that a buyer got, and compares it with what the buyer got before.
    fn acknowledged(&self, buyer: Uuid, reservation: Reservation) -> Outcome {
        if !reservation.is_of(self.sale) {
            lock(&self.flaws).push(format!("a reservation was acknowledged as {reservation:?}"));
            return Outcome::Failed("wrong-answer");
        }
        let mut acknowledged = lock(&self.acknowledged);
        let first = acknowledged.entry(buyer).or_insert_with(|| reservation.clone());
        // During the load nothing changes but the position on the waiting list.
        if first.id != reservation.id || first.status != reservation.status {
            lock(&self.flaws).push(format!("a buyer has {first:?} and {reservation:?}"));
            return Outcome::Failed("wrong-answer");
        }
        Outcome::Ok
    }

    /// Has the buyers who were cut off reserve again.
    async fn serve_cut_off(&self, api: &Api) -> anyhow::Result<()> {
        let missing: Vec<Uuid> = {
            let acknowledged = lock(&self.acknowledged);
            self.buyers.iter().filter(|buyer| !acknowledged.contains_key(buyer)).copied().collect()
        };
        let coming = missing.into_iter().map(async |buyer| {
            self.acknowledged(buyer, come_again(api, self.sale, buyer).await?);
            anyhow::Ok(())
        });
        let coming: Vec<_> = coming.collect();
        futures::stream::iter(coming).buffer_unordered(sales::AT_A_TIME).try_collect().await
    }

    /// Makes sure that each held reservation is confirmed once, including those that were made while servers were killed.
    async fn ensure_notified(&self, api: &Api, held: &BTreeSet<Uuid>, killed: &[Uuid]) -> anyhow::Result<()> {
        let mut expected = held.clone();
        if api.replicas().is_some() {
            for buyer in killed {
                expected.insert(come_again(api, self.later, *buyer).await?.id);
            }
        }
        sales::ensure_confirmed(api, self.sent_before, &expected).await
    }

    fn ensure_within_stock(&self, held: usize) -> anyhow::Result<()> {
        ensure!(held as i64 <= self.stock, "{held} reservations are held of {} pieces", self.stock);
        Ok(())
    }

    /// Compares what was acknowledged with what can be read, and both with the sale's counts.
    async fn ensure_recorded(
        &self,
        api: &Api,
        acknowledged: &BTreeMap<Uuid, Reservation>,
        found: &[Option<Reservation>],
        held: usize,
    ) -> anyhow::Result<()> {
        if let Some(flaw) = lock(&self.flaws).first() {
            anyhow::bail!("{flaw}");
        }
        let all = found.len();
        let lost = found.iter().filter(|found| found.is_none()).count();
        ensure!(lost == 0, "{lost} of {all} acknowledged reservations cannot be read");
        let changed = acknowledged.values().zip(found.iter().flatten());
        let changed = changed.filter(|(first, now)| !first.agrees_with(now)).count();
        ensure!(changed == 0, "{changed} of {all} reservations are not as they were acknowledged");
        let (held, all) = (held as i64, all as i64);
        let possible = self.stock.min(all);
        ensure!(held >= possible, "{held} reservations are held, and {possible} could be");
        let sale = sales::look(api, self.sale).await?;
        let right = (sale.stock, sale.available, sale.held, sale.paid, sale.waiting)
            == (self.stock, self.stock - held, held, 0, all - held);
        ensure!(right, "{held} reservations are held and {} wait, and the sale is {sale:?}", all - held);
        Ok(())
    }
}
