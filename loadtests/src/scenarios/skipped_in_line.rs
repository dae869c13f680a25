//! `skipped-in-line`: the buyers who have the pieces of a sale cancel, two at a time, while others wait.

mod contract;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use rand::RngExt;
use rand_pcg::Pcg64;
use reqwest::Method;
use target_app::exercises::skipped_in_line::EXERCISE;
use uuid::Uuid;

use super::{Clause, Shape, Spec, TIMEOUT};
use crate::api::Api;
use crate::checks::{Audit, Findings, check, judged, no_failures, p99_within, seen, signal};
use crate::faults::{Fault, Trouble};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, status_reason};
use crate::payments;
use crate::sales::{self, Reservation};

/// Moments a second at which two buyers cancel.
const RATE: f64 = 25.0;
/// Looks a second of buyers who wait.
const LOOKS: f64 = 40.0;
/// Buyers who wait, for each that cancels.
const WAITING: f64 = 1.5;
/// For how long pieces are held: longer than the round.
const HOLD_SECONDS: u32 = 3_600;

/// When a server is killed at the earliest and at the latest, and for how long it is away, as shares of the load.
const KILLED: std::ops::Range<f64> = 0.4..0.6;
const AWAY: f64 = 0.05;

/// What a cancellation may take.
const LIMIT_US: u64 = 100_000;
/// How long whoever was cut off may have to try again, and how long a piece may be nobody's.
const RECOVERY: Duration = Duration::from_secs(5);
/// Pairs of buyers who cancel at one moment after the load, and buyers who wait for each pair.
const PAIRS: usize = 8;
const IN_LINE: usize = 4;
/// Between two looks at the sale.
const POLL: Duration = Duration::from_millis(20);

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        // Two replicas: what one process knows of the line must not be taken for a fix.
        shape: Shape { rate: None, duration: Duration::from_millis(2_500), replicas: 2 },
        total_rate: |rate| 2.0 * rate.unwrap_or(RATE) + LOOKS,
        needs: &[("cancel", 60)],
        patience: TIMEOUT,
        reference_statements: 2,
        limits: &[Duration::from_micros(LIMIT_US)],
        needs_schedule: true,
        // As far from the database as another building is: what two releases read is out of date for that long.
        server: &["--db-rtt", "500us", "--warm-connections", "10"],
        providers: true,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        let rate = shape.rate.unwrap_or(RATE);
        let schedule = arrivals::poisson(&mut rng, rate, shape.duration);
        let pieces = 2 * schedule.len();
        // The mails of the contract are not this load's.
        sales::jobs_done(api).await?;
        let sent_before = api.providers()?.ledger("mail").await?.len();
        let sale = sales::announce(api, pieces as i64, HOLD_SECONDS).await?.id;
        let mut come = async || {
            let buyer = Uuid::from_u128(rng.random());
            anyhow::Ok((buyer, sales::reserve(api, sale, buyer).await?))
        };
        let (mut holders, mut line) = (Vec::new(), Vec::new());
        for _ in 0..pieces {
            holders.push(come().await?);
        }
        // One after the other, so that everybody knows who came first.
        for _ in 0..(pieces as f64 * WAITING) as usize {
            line.push(come().await?);
        }
        let all_wait = line.iter().all(|(_, reservation)| !reservation.is_held());
        ensure!(all_wait && !line.is_empty(), "all pieces are held, and somebody got another one");
        // A buyer who cancels before the confirmation is sent gets none.
        let holding: BTreeSet<Uuid> = holders.iter().map(|(_, reservation)| reservation.id).collect();
        sales::ensure_confirmed(api, sent_before, &holding).await?;

        let mut tickets = Vec::new();
        for (at, pair) in schedule.iter().zip(holders.chunks(2)) {
            for (buyer, reservation) in pair {
                let request = Request { method: Method::DELETE, ..request("cancel", *buyer, reservation) };
                tickets.push(Ticket { at: *at, request });
            }
        }
        for at in arrivals::poisson(&mut rng, LOOKS, shape.duration) {
            let (buyer, reservation) = &line[rng.random_range(0..line.len())];
            tickets.push(Ticket { at, request: request("look", *buyer, reservation) });
        }
        tickets.sort_by_key(|ticket| ticket.at);
        let killed = shape.duration.mul_f64(rng.random_range(KILLED));
        let away = shape.duration.mul_f64(AWAY);
        let round = Round { rate, sale, holders, line, killed, away, sent_before };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        let clean = "every cancellation and every look is answered with 200";
        Findings {
            checks: vec![
                p99_within(&EXERCISE, "cancel-p99", load, "cancel", LIMIT_US),
                no_failures(&EXERCISE, "only-clean-answers", clean, load),
            ],
            signals: Vec::new(),
        }
    }
}

/// A look at a reservation.
fn request(name: &'static str, buyer: Uuid, reservation: &Reservation) -> Request {
    sales::request(name, Method::GET, format!("/reservations/{}", reservation.id), buyer)
}

pub struct Round {
    rate: f64,
    sale: Uuid,
    /// Who has a piece at the beginning. All of them cancel.
    holders: Vec<(Uuid, Reservation)>,
    /// Who waits, in the sequence of arrival.
    line: Vec<(Uuid, Reservation)>,
    killed: Duration,
    away: Duration,
    /// Entries of the mailer's ledger before the first buyer came.
    sent_before: usize,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "{} buyers hold all pieces of a sale over {servers}, and {} wait. Poisson arrivals: {:.0} times a second, two of them cancel at one \
             moment. {LOOKS:.0} times a second, somebody who waits looks at the place in line. A server is killed and started again",
            self.holders.len(),
            self.line.len(),
            self.rate
        )
    }

    fn faults(&self) -> Vec<Fault> {
        vec![Fault { at: self.killed, lasts: self.away, what: Trouble::Killed(0) }]
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        if answer.status != 200 {
            return Outcome::Failed(status_reason(answer.status));
        }
        match Reservation::read(answer.body) {
            Ok(reservation) if request.name == "cancel" && reservation.status == "cancelled" => Outcome::Ok,
            Ok(reservation) if request.name == "look" && self.moves_up(&reservation) => Outcome::Ok,
            _ => Outcome::Failed("wrong-answer"),
        }
    }

    async fn audit(&self, api: &Api, _: &Load) -> anyhow::Result<Audit> {
        let recovered = judged(self.cancel_all(api).await)?;
        settle(api, self.sale).await?;
        let reading: Vec<_> =
            self.line.iter().map(|(buyer, reservation)| sales::read(api, reservation.id, *buyer)).collect();
        let line: Vec<Reservation> =
            futures::stream::iter(reading).buffered(sales::AT_A_TIME).try_collect().await?;
        let held: Vec<Uuid> = line
            .iter()
            .filter(|reservation| reservation.is_held())
            .map(|reservation| reservation.id)
            .collect();

        let mut ordered = ensure_in_order(&line, held.len());
        let once = judged(self.ensure_once(api, &line, held.len()).await)?;
        // Those who cancelled had one as well.
        let all: BTreeSet<Uuid> =
            self.holders.iter().map(|(_, reservation)| reservation.id).chain(held.iter().copied()).collect();
        let notified = judged(sales::ensure_confirmed(api, self.sent_before, &all).await)?;
        if ordered.is_ok() {
            ordered = judged(pairs(api).await)?.context("two buyers cancelled at one moment after the load");
        }
        let (pieces, lost) = (self.holders.len(), self.holders.len().saturating_sub(held.len()));
        let checks = vec![
            check(
                &EXERCISE,
                "promoted-in-order",
                ordered.is_ok(),
                "the buyers who waited longest have the pieces, and the others are in line in the same order",
                seen(&ordered, format!("the first {} of {}", held.len(), line.len())),
            ),
            check(
                &EXERCISE,
                "each-piece-once",
                once.is_ok(),
                format!(
                    "{pieces} pieces that were given back are held again, each by one buyer who was promoted once"
                ),
                seen(&once, format!("{} are held", held.len())),
            ),
            check(
                &EXERCISE,
                "promoted-notified",
                notified.is_ok(),
                "each reservation that was ever held has one confirmation, and no other has any",
                seen(&notified, format!("{} confirmations", all.len())),
            ),
            check(
                &EXERCISE,
                "recovers",
                recovered.is_ok(),
                format!("every buyer who was cut off can cancel within {RECOVERY:?}"),
                seen(&recovered, "all could".into()),
            ),
        ];
        let skipped = line.iter().take(held.len()).filter(|reservation| !reservation.is_held()).count();
        let signals = vec![
            signal("stranded pieces", lost as f64, "pieces", Some(0.0)),
            signal("buyers who were passed over", skipped as f64, "buyers", Some(0.0)),
        ];
        let sentence = match ordered.and(once).and(notified).and(recovered) {
            Ok(()) => format!("{pieces} pieces went to the first {pieces} of {} in line", line.len()),
            Err(error) => format!("{error:#}"),
        };
        Ok(Audit { sentence, findings: Findings { checks, signals } })
    }
}

impl Round {
    /// Whether a buyer who looks is at the place in line of the arrival, or farther. Looks overtake each other, so they are not compared with
    /// the last one.
    fn moves_up(&self, reservation: &Reservation) -> bool {
        let position = match (reservation.status.as_str(), reservation.position) {
            ("waiting", Some(position)) if position > 0 => position,
            ("held", None) => 0,
            _ => return false,
        };
        let place = self.line.iter().position(|(_, waits)| waits.id == reservation.id);
        let Some(place) = place.and_then(|place| i64::try_from(place + 1).ok()) else { return false };
        position <= place
    }

    /// Has whoever has no answer cancel again.
    async fn cancel_all(&self, api: &Api) -> anyhow::Result<()> {
        let cancelling: Vec<_> = self.holders.iter().map(|holder| cancel(api, holder)).collect();
        futures::stream::iter(cancelling).buffer_unordered(sales::AT_A_TIME).try_collect().await
    }

    async fn ensure_once(&self, api: &Api, line: &[Reservation], held: usize) -> anyhow::Result<()> {
        let (pieces, sale) = (self.holders.len(), sales::look(api, self.sale).await?);
        ensure!(
            held >= pieces,
            "{} of {pieces} pieces that were given back are held by nobody",
            pieces - held
        );
        ensure!(held == pieces, "{pieces} pieces were given back, and {held} are held");
        let transitions = line
            .iter()
            .zip(&self.line)
            .filter(|(now, (_, then))| now.version - then.version != i64::from(now.is_held()));
        let transitions = transitions.count();
        ensure!(transitions == 0, "{transitions} buyers were promoted more than once");
        let counts = (sale.available, sale.held, sale.waiting);
        let expected = (0, pieces as i64, (line.len() - held) as i64);
        ensure!(counts == expected, "{held} reservations are held, and the sale is {sale:?}");
        Ok(())
    }
}

/// Cancels a reservation, as a buyer does who tries again.
async fn cancel(api: &Api, (buyer, reservation): &(Uuid, Reservation)) -> anyhow::Result<()> {
    let path = format!("/reservations/{}", reservation.id);
    let reply = payments::until_settled(RECOVERY, || api.of_buyer(Method::DELETE, &path, *buyer)).await?;
    let cancelled: Reservation = reply.with_status(200)?.json()?;
    ensure!(cancelled.status == "cancelled", "a reservation was cancelled and is {}", cancelled.status);
    Ok(())
}

/// Waits until no piece is free, or long enough.
async fn settle(api: &Api, sale: Uuid) -> anyhow::Result<()> {
    let start = Instant::now();
    while sales::look(api, sale).await?.available > 0 && start.elapsed() < RECOVERY {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Has the two buyers of a small sale cancel at one moment, several times. Under the load, the next pair may put right what this one did.
async fn pairs(api: &Api) -> anyhow::Result<()> {
    for _ in 0..PAIRS {
        let sale = sales::announce(api, 2, HOLD_SECONDS).await?.id;
        let mut buyers = Vec::new();
        for _ in 0..2 + IN_LINE {
            let buyer = Uuid::now_v7();
            buyers.push((buyer, sales::reserve(api, sale, buyer).await?));
        }
        let (holders, waiting) = buyers.split_at(2);
        futures::try_join!(cancel(api, &holders[0]), cancel(api, &holders[1]))?;
        settle(api, sale).await?;
        let mut line = Vec::new();
        for (buyer, reservation) in waiting {
            line.push(sales::read(api, reservation.id, *buyer).await?);
        }
        ensure_in_order(&line, line.iter().filter(|reservation| reservation.is_held()).count())?;
    }
    Ok(())
}

/// The first so many are held, and the others wait in the sequence in which they came.
fn ensure_in_order(line: &[Reservation], held: usize) -> anyhow::Result<()> {
    let (first, others) = line.split_at(held);
    let skipped = first.iter().filter(|reservation| !reservation.is_held()).count();
    ensure!(skipped == 0, "{skipped} buyers wait while others have a piece who came after them");
    let places = (1..).zip(others).filter(|(place, reservation)| reservation.position != Some(*place));
    let places = places.count();
    ensure!(places == 0, "{places} buyers are not at their place in line");
    Ok(())
}
