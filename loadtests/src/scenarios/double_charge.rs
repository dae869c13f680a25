//! `double-charge`: customers check out, click twice, hang up and try again, while a server is killed and comes back.

mod contract;
mod forced;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use rand::RngExt;
use rand_pcg::Pcg64;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use simulated_providers::Profile;
use target_app::domain::money::Cents;
use target_app::exercises::double_charge::EXERCISE;
use uuid::Uuid;

use self::forced::{CROWDS, leave};
use super::{Clause, Shape, Spec, TIMEOUT};
use crate::api::{Api, Reply};
use crate::checks::kills::{self, Moment, Recorded, kill_at};
use crate::checks::{Audit, Findings, check, no_failures, p99_within, pages, seen, signal};
use crate::faults::{Fault, Trouble};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, lock, status_reason};
use crate::payments::{self, Charges, EMPTY_CARD, GOOD_CARD, UNCLEAR};
use crate::shop::{self, Books, Cart, Order, Product};

/// Checkouts a second.
const RATE: f64 = 50.0;
/// Of this many customers, one clicks twice, one hangs up and tries again, and one has a card that is declined.
const TWICE: u32 = 4;
const LEAVES: u32 = 8;
const DECLINED: u32 = 20;
/// When somebody who hung up tries again.
const AGAIN: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];

/// When a server is killed at the earliest and at the latest, and for how long it is away, as shares of the load.
const KILLED: std::ops::Range<f64> = 0.4..0.5;
const AWAY: f64 = 0.12;
/// When PostgreSQL is restarted, likewise.
const RESTARTED: std::ops::Range<f64> = 0.7..0.75;

/// The payment provider: slow enough for a second click.
const PROVIDER: Profile =
    Profile { base_ms: 10, jitter_ms: 10, slow_share: 0.1, slow_ms: 120, ..Profile::CALM };

/// What a checkout may take.
const LIMIT_US: u64 = 250_000;

/// Products that are bought.
const PRODUCTS: usize = 8;
/// Checkouts of which the provider does not say what became.
const UNCLEAR_CHECKOUTS: usize = 6;

/// Moments at which the servers are killed.
const MOMENTS: [Moment; 6] = {
    let [first, second, third, fourth, last] = Moment::ALL;
    [Moment::BetweenOrderAndCharge, first, second, third, fourth, last]
};

/// How long a key may be refused when everything answers.
const RECOVERY: Duration = Duration::from_secs(5);
/// Checkouts that are sent at a time when the load is over.
const AT_A_TIME: usize = 8;

const CHECKOUT: &str = "/api/checkout";

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        // Two replicas: what one process remembers must not be taken for a fix.
        shape: Shape { rate: None, duration: Duration::from_millis(2_500), replicas: 2 },
        total_rate: |rate| rate.unwrap_or(RATE) * 1.5,
        needs: &[("checkout", 40), ("again", 10)],
        patience: TIMEOUT,
        // As the shortest way through a checkout that is there already.
        reference_statements: 3,
        limits: &[Duration::from_micros(LIMIT_US)],
        needs_schedule: true,
        server: &[],
        providers: true,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        pages::restock(api).await?;
        api.providers()?.set_profile("payments", &PROVIDER).await?;
        let users: Vec<Uuid> = shop::users(api).await?.into_iter().map(|user| user.id).collect();
        let before = Books::read(api, &users).await?;
        let sold = before.products.values().filter(|product| product.price > Cents(0));
        let products: Vec<Uuid> =
            shop::most_in_stock(sold, PRODUCTS).into_iter().map(|product| product.id).collect();
        ensure!(!products.is_empty(), "the shop has no products that cost something");

        let rate = shape.rate.unwrap_or(RATE);
        let schedule = arrivals::poisson(&mut rng, rate, shape.duration);
        let audited = 2 * CROWDS.len() + UNCLEAR_CHECKOUTS + api.targets.len() + MOMENTS.len();
        // No two carts of a customer are alike, so that nobody takes two checkouts for one.
        let cart = |nth: usize| {
            let (user, nth) = (users[nth % users.len()], nth / users.len());
            let quantity = 1 + nth / products.len();
            Cart::of(user, &[(products[nth % products.len()], quantity as i32)])
        };
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut tickets = Vec::new();
        for at in schedule {
            let card = if rng.random_ratio(1, DECLINED) { EMPTY_CARD } else { GOOD_CARD };
            let mut attempt = Attempt::new(cart(attempts.len()), card);
            let mut send = |name, at, hang_up| {
                if at < shape.duration {
                    let request = attempt.request(name);
                    tickets.push(Ticket { at, request: Request { hang_up, ..request } });
                    attempt.sent += 1;
                }
            };
            if rng.random_ratio(1, LEAVES) {
                send("leaver", at, Some(Duration::from_millis(rng.random_range(2..40))));
                for later in AGAIN {
                    send("retry", at + later, None);
                }
            } else {
                send("checkout", at, None);
                if rng.random_ratio(1, TWICE) {
                    send("again", at, None);
                }
            }
            attempts.push(attempt);
        }
        let in_load = attempts.len();
        // Two clicks with a card that is declined come first.
        attempts.push(Attempt::new(cart(in_load), EMPTY_CARD));
        attempts.extend((1..=audited).map(|nth| Attempt::new(cart(in_load + nth), GOOD_CARD)));
        let mut moment = |range| shape.duration.mul_f64(rng.random_range(range));
        let (killed, restarted) = (moment(KILLED), moment(RESTARTED));
        let by_key = attempts.iter().enumerate().map(|(nth, attempt)| (attempt.key.clone(), nth)).collect();
        let round = Round {
            rate,
            killed,
            restarted,
            away: shape.duration.mul_f64(AWAY),
            charges_before: api.providers()?.ledger("payments").await?.len(),
            users,
            before,
            attempts,
            by_key,
            in_load,
            responses: Mutex::default(),
            flaws: Mutex::default(),
        };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        let clean = "every checkout ends in 201, or 402 for a card that is declined, or 409 beside another one with its key";
        Findings {
            checks: vec![
                p99_within(&EXERCISE, "checkout-p99", load, "checkout", LIMIT_US),
                no_failures(&EXERCISE, "only-clean-answers", clean, load),
            ],
            signals: Vec::new(),
        }
    }
}

/// A checkout and its key.
struct Attempt {
    key: String,
    cart: Cart,
    card: &'static str,
    body: Value,
    /// How often it is in the schedule.
    sent: usize,
}

impl Attempt {
    fn new(cart: Cart, card: &'static str) -> Self {
        let body = json!({ "userId": cart.user_id, "items": cart.items, "paymentMethod": "card", "cardLast4": card });
        Attempt { key: Uuid::now_v7().to_string(), cart, card, body, sent: 0 }
    }

    fn request(&self, name: &'static str) -> Request {
        let key = HeaderValue::from_str(&self.key).expect("an id is a header's value");
        let headers = vec![(HeaderName::from_static("idempotency-key"), key)];
        Request { headers, ..Request::post(name, CHECKOUT, self.body.to_string()) }
    }

    /// Sends it, whatever the answer.
    async fn send(&self, api: &Api) -> anyhow::Result<Reply> {
        api.post_with_key(CHECKOUT, &self.key, &self.body).await
    }

    /// Has it confirmed.
    async fn confirmed(&self, api: &Api) -> anyhow::Result<Order> {
        let reply = self.send(api).await?.with_status(201)?;
        Order::read(&reply.body).context("the answer to a checkout is not an order")
    }

    /// What keeps `order` from being the confirmation of this checkout, if anything.
    fn differs(&self, order: &Order, products: &BTreeMap<Uuid, Product>) -> Option<String> {
        self.cart.differs(order, "paid", products)
    }
}

pub struct Round {
    rate: f64,
    killed: Duration,
    restarted: Duration,
    away: Duration,
    /// Entries of the payment provider's ledger before the load.
    charges_before: usize,
    users: Vec<Uuid>,
    before: Books,
    /// Those of the load, then those that are made when it is over.
    attempts: Vec<Attempt>,
    in_load: usize,
    /// Where in `attempts` each key is.
    by_key: BTreeMap<String, usize>,
    /// The first response to each key: its order, or none where the card was declined.
    responses: Mutex<BTreeMap<String, Option<Order>>>,
    /// What was wrong with a response.
    flaws: Mutex<Vec<String>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "Poisson arrivals over {servers}: {:.0} checkouts a second, each with a key of its own. One customer in {TWICE} clicks twice, \
             one in {LEAVES} hangs up and tries again, one in {DECLINED} has a card that is declined. A server is killed and started again, and \
             later PostgreSQL is restarted",
            self.rate
        )
    }

    fn faults(&self) -> Vec<Fault> {
        vec![
            Fault { at: self.killed, lasts: self.away, what: Trouble::Killed(0) },
            Fault { at: self.restarted, lasts: Duration::ZERO, what: Trouble::PostgresRestarted },
        ]
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        let key = request.headers.first().and_then(|(_, key)| key.to_str().ok());
        let Some(attempt) = key.and_then(|key| self.by_key.get(key)).map(|nth| &self.attempts[*nth]) else {
            return Outcome::Failed("unknown-key");
        };
        match answer.status {
            201 | 402 => self.answered(attempt, answer.status, answer.body),
            // Another request with its key may be under way, or have been cut off.
            409 if attempt.sent > 1 => Outcome::Expected("under-way"),
            503 if answer.headers.contains_key("retry-after") => Outcome::Expected("try-again"),
            status => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, _: &Load) -> anyhow::Result<Audit> {
        let providers = api.providers()?;
        let (before_kills, killed) = self.attempts.split_at(self.attempts.len() - MOMENTS.len());
        let (declined, crowds) = (&before_kills[self.in_load], &before_kills[self.in_load + 1..]);
        let (crowds, others) = crowds.split_at(CROWDS.len());
        let (beside, others) = others.split_at(CROWDS.len());
        let (unclear, left) = others.split_at(UNCLEAR_CHECKOUTS);
        let in_load = &before_kills[..self.in_load];

        let mut recovered = self.crowds(api, crowds, beside).await;
        if recovered.is_ok() {
            recovered = self.two_at_once(api, declined).await.context("a declined card was sent twice");
        }
        leave(api, left).await?;
        providers.set_profile("payments", &UNCLEAR).await?;
        join_all(unclear.iter().map(|attempt| tokio::time::timeout(TIMEOUT, attempt.send(api)))).await;
        providers.set_profile("payments", &PROVIDER).await?;

        if recovered.is_ok() {
            recovered = self.come_back(api, left).await;
        }
        if recovered.is_ok() {
            recovered = self.complete_all(api, before_kills).await;
        }
        let mut kills = Vec::new();
        if recovered.is_ok() {
            for (moment, attempt) in MOMENTS.into_iter().zip(killed) {
                // The customer may have come before, so the order is known as the one that was not there.
                let paid = "SELECT EXISTS (SELECT FROM orders WHERE user_id = $1 AND status = 'paid' AND id <> ALL($2))";
                let placed = "SELECT EXISTS (SELECT FROM orders WHERE user_id = $1 AND id <> ALL($2))";
                let id = attempt.cart.user_id;
                let recorded = match moment {
                    // Orders that were cancelled have no response, so it is asked what there is.
                    Moment::BetweenOrderAndCharge => {
                        let orders = shop::orders(api, id).await?;
                        Recorded {
                            question: placed,
                            id,
                            known: orders.iter().map(|order| order.id).collect(),
                        }
                    }
                    _ => Recorded { question: paid, id, known: self.orders_of(id) },
                };
                if kill_at(moment, api, attempt.send(api), recorded).await? == Some(true) {
                    kills.push(moment);
                }
            }
            // All together, because each may have to wait until nobody holds its key any more.
            recovered = self.complete_all(api, killed).await.context("the servers were killed");
        }
        let replayed = self.replay(api, in_load).await;
        let books = Books::read(api, &self.users).await?;
        let replayed = match replayed {
            Ok(()) => self.replay_after_delivery(api, in_load).await,
            wrong => wrong,
        };
        let charges = payments::charges(api, self.charges_before).await?;
        let expected = self.expected_orders(&charges, &books);
        let extra = Self::extra_charges(&charges, &expected);
        let charged = self.charged_once(&charges, extra);
        let ordered = self.ordered_once(&expected, &books);

        let confirmed = lock(&self.responses).values().flatten().count();
        let charges = seen(&charged, format!("{confirmed} orders charged once"));
        let checks = vec![
            check(
                &EXERCISE,
                "charged-once",
                charged.is_ok(),
                "each key's order is charged once, and nothing else is",
                format!("{charges}; {}", kills::words(&kills, Moment::words)),
            ),
            check(
                &EXERCISE,
                "ordered-once",
                ordered.is_ok(),
                "each key has one order, and the stock adds up",
                seen(&ordered, format!("{confirmed} keys, each with one order")),
            ),
            check(
                &EXERCISE,
                "replays-identical",
                replayed.is_ok(),
                "every response to a key is the first one",
                seen(&replayed, format!("{} keys sent again", in_load.len())),
            ),
            check(
                &EXERCISE,
                "recovers",
                recovered.is_ok(),
                format!(
                    "every key can be completed within {RECOVERY:?}, and no other key has to wait for it"
                ),
                seen(&recovered, "all could be".into()),
            ),
        ];
        let signals = vec![signal("charges beyond one for each key", extra as f64, "charges", Some(0.0))];
        let sentence = match charged.and(ordered) {
            Ok(()) => format!("{confirmed} keys charged once; {} kills", kills.len()),
            Err(error) => format!("{error:#}"),
        };
        Ok(Audit { sentence, findings: Findings { checks, signals } })
    }
}

impl Round {
    /// Keeps the first response to a key, and compares the others with it.
    fn answered(&self, attempt: &Attempt, status: u16, body: &[u8]) -> Outcome {
        let (order, outcome) = match status {
            201 => match Order::read(body) {
                Ok(order) => (Some(order), Outcome::Ok),
                Err(_) => return Outcome::Failed("not-an-order"),
            },
            _ => (None, Outcome::Expected("declined")),
        };
        let declined = attempt.card == EMPTY_CARD;
        let flaw = match &order {
            Some(_) if declined => Some("a card that is declined has bought something".to_owned()),
            None if !declined => Some("a good card was declined".into()),
            Some(order) => attempt.differs(order, &self.before.products),
            None => None,
        };
        let mut responses = lock(&self.responses);
        let first = responses.entry(attempt.key.clone()).or_insert_with(|| order.clone());
        let other = (*first != order).then(|| "a key has two different responses".to_owned());
        match flaw.or(other) {
            Some(flaw) => {
                lock(&self.flaws).push(flaw);
                Outcome::Failed("wrong-answer")
            }
            None => outcome,
        }
    }

    /// Sends a checkout until it has a response.
    async fn complete(&self, api: &Api, attempt: &Attempt) -> anyhow::Result<()> {
        let reply = payments::until_settled(RECOVERY, || attempt.send(api))
            .await
            .with_context(|| format!("the checkout with key {} cannot be completed", attempt.key))?;
        self.responded(attempt, reply)
    }

    /// Keeps or compares the response that a key got, if that is what it got.
    fn responded(&self, attempt: &Attempt, reply: Reply) -> anyhow::Result<()> {
        match reply.status.as_u16() {
            status @ (201 | 402) => {
                self.answered(attempt, status, &reply.body);
                Ok(())
            }
            _ => reply.with_status(201).map(drop),
        }
    }

    async fn complete_all(&self, api: &Api, attempts: &[Attempt]) -> anyhow::Result<()> {
        let completing: Vec<_> = attempts.iter().map(|attempt| self.complete(api, attempt)).collect();
        futures::stream::iter(completing).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Sends checkouts again that have a response, to every server, and compares: nothing else is under way, so there is nothing to wait for.
    async fn replay(&self, api: &Api, attempts: &[Attempt]) -> anyhow::Result<()> {
        let answered: Vec<&Attempt> = {
            let responses = lock(&self.responses);
            attempts.iter().filter(|attempt| responses.contains_key(&attempt.key)).collect()
        };
        for replica in 0..api.targets.len() {
            let server = api.only(replica)?;
            let replaying: Vec<_> =
                answered.iter().map(|attempt| self.replay_one(&server, attempt)).collect();
            futures::stream::iter(replaying).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        }
        match lock(&self.flaws).first() {
            Some(flaw) => anyhow::bail!("{flaw}"),
            None => Ok(()),
        }
    }

    async fn replay_one(&self, api: &Api, attempt: &Attempt) -> anyhow::Result<()> {
        let mut reply = attempt.send(api).await?;
        if reply.status == 409 {
            // The server may not have let go of the key yet when the client has its answer.
            tokio::time::sleep(payments::PAUSE).await;
            reply = attempt.send(api).await?;
        }
        self.responded(attempt, reply).context("a key that has its response was sent again")
    }

    /// Sends a checkout again whose order has been shipped since then: the response is not the order as it is now.
    async fn replay_after_delivery(&self, api: &Api, attempts: &[Attempt]) -> anyhow::Result<()> {
        let paid = |attempt: &&Attempt| lock(&self.responses).get(&attempt.key).cloned().flatten();
        let Some((attempt, order)) = attempts.iter().find_map(|attempt| Some((attempt, paid(&attempt)?)))
        else {
            return Ok(());
        };
        let Some(mut database) = api.database().await? else { return Ok(()) };
        let ship = "UPDATE orders SET status = 'shipped' WHERE id = $1";
        sqlx::query(ship).bind(order.id).execute(&mut database).await?;
        let again = attempt.confirmed(api).await.context("the order was shipped")?;
        ensure!(
            again == order,
            "the first response said {}, and the one to the same request says {}",
            order.status,
            again.status
        );
        Ok(())
    }

    fn orders_of(&self, user: Uuid) -> Vec<Uuid> {
        let responses = lock(&self.responses);
        let before = self.before.orders.values();
        let all = before.chain(responses.values().flatten()).filter(|order| order.user_id == user);
        all.map(|order| order.id).collect()
    }

    /// The orders that there may be: those that were confirmed, and one of each checkout without a response. No two carts are alike, so an
    /// order says which checkout it is of.
    fn expected_orders(&self, charges: &Charges, books: &Books) -> BTreeSet<Uuid> {
        let responses = lock(&self.responses);
        let confirmed = responses.values().flatten().map(|order| order.id);
        let without = self.attempts.iter().filter(|attempt| !responses.contains_key(&attempt.key));
        let pending = without.filter_map(|attempt| {
            let of_cart = books.new_orders(&self.before).filter(|order| order.cart() == attempt.cart);
            of_cart.map(|order| order.id).max_by_key(|id| charges.contains_key(&id.to_string()))
        });
        confirmed.chain(pending).collect()
    }

    /// Charges beyond one for each of the expected orders.
    fn extra_charges(charges: &Charges, expected: &BTreeSet<Uuid>) -> usize {
        let is_expected = |reference: &str| reference.parse().is_ok_and(|id| expected.contains(&id));
        charges.iter().map(|(reference, charges)| charges.len() - usize::from(is_expected(reference))).sum()
    }

    fn charged_once(&self, charges: &Charges, extra: usize) -> anyhow::Result<()> {
        ensure!(extra == 0, "{extra} charges beyond one for each key");
        for order in lock(&self.responses).values().flatten() {
            let charged = charges.get(&order.id.to_string()).map_or(&[][..], Vec::as_slice);
            ensure!(!charged.is_empty(), "an order was confirmed and never charged");
            let right = charged.iter().all(|charge| charge.amount_cents == order.total.0);
            ensure!(right, "an order of {} was charged {} cents", order.total, charged[0].amount_cents);
        }
        Ok(())
    }

    fn ordered_once(&self, expected: &BTreeSet<Uuid>, books: &Books) -> anyhow::Result<()> {
        let responses = lock(&self.responses);
        let confirmed: BTreeMap<Uuid, &Order> =
            responses.values().flatten().map(|order| (order.id, order)).collect();
        let new: Vec<&Order> =
            books.new_orders(&self.before).filter(|order| order.status != "cancelled").collect();
        let extra = new.iter().filter(|order| !expected.contains(&order.id)).count();
        ensure!(extra == 0, "{extra} orders beyond one for each key");
        let lost = confirmed.iter().filter(|(id, order)| books.orders.get(id) != Some(order)).count();
        ensure!(lost == 0, "{lost} of {} confirmed orders are missing or altered", confirmed.len());
        ensure!(confirmed.len() == responses.values().flatten().count(), "two keys have one order");
        let sold = shop::pieces(new.iter().copied());
        for (id, product) in &self.before.products {
            let left = books.products.get(id).map_or(0, |product| i64::from(product.inventory));
            let expected = i64::from(product.inventory) - sold.get(id).copied().unwrap_or(0);
            ensure!(left == expected, "of product {id}, {left} pieces are left instead of {expected}");
        }
        Ok(())
    }
}
