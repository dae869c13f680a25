//! `hung-payments`: customers pay, others look at products, and the fraud check is slow for a while, then hangs.

mod contract;
mod forced;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use rand::RngExt;
use rand_pcg::Pcg64;
use simulated_providers::Profile;
use target_app::exercises::hung_payments::EXERCISE;
use uuid::Uuid;

use self::forced::{PAGE_TAKES, ends_in_time, leave_trial};
use super::{Clause, Shape, Spec};
use crate::api::{Api, Reply};
use crate::checks::kills::{self, Moment};
use crate::checks::{Audit, Findings, check, ms, no_failures, p99_within, pages, signal, signal_to_keep_up};
use crate::faults::{Fault, Trouble};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, lock, status_reason};
use crate::payments::{self, GOOD_CARD, PROCESS, PROCESS_SIMPLE, Payment, STOLEN_CARD, UNCLEAR};
use crate::shop::{self, Order};

/// Payments a second with a fraud check and without, and product pages.
const RATE: f64 = 40.0;
const SIMPLE_RATE: f64 = 10.0;
const PRODUCT_RATE: f64 = 80.0;
/// Of this many payments, one is sent twice at one moment, one has a card that the fraud check denies, and of one the client leaves.
const TWICE: u32 = 10;
const STOLEN: u32 = 15;
const LEAVES: u32 = 12;

/// When the fraud check becomes slow and when it hangs, as shares of the load, and how long both last.
const SLOW_FROM: f64 = 0.33;
const HUNG_FROM: f64 = 0.64;
const LASTS: f64 = 0.29;
/// How late the seed has both of them begin. The same for both: of two that overlap, one would end the other.
const LATER: f64 = 0.03;

/// The fraud check on a good day, when it is slow, and when it hangs.
const GOOD_DAY: Profile = Profile { base_ms: 10, jitter_ms: 10, ..Profile::CALM };
const SLOW: Profile = Profile { base_ms: 400, ..GOOD_DAY };
const HUNG: Profile = Profile { hung_share: 1.0, ..GOOD_DAY };
/// A payment provider that takes money and never answers.
const SILENT: Profile = Profile { lost_share: 1.0, ..Profile::CALM };

/// What a payment may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// A p99 within this is quick, whatever the idle one was.
const QUICK_US: u64 = 10_000;
/// Share of the payments that succeed while the fraud check is slow.
const SUCCEED: f64 = 0.9;

/// Customers who pay at one moment while the fraud check hangs: more than anybody has connections. Calls that may wait for it then.
const CROWD: usize = 150;
const MOST_CALLS: usize = 64;

/// Orders that are to be paid at one moment while the payment provider does not answer: more than may wait for it.
const UNCHARGED: usize = 80;

/// Customers who come at one moment afterwards and are to be answered in time: more than three rounds of 32 calls. The kernel has room
/// for 128 connections that a server has not accepted yet, and who finds none tries again after a second, for which no server can answer.
const GIVEN_UP: usize = 100;

/// Payments of which the provider does not say what became.
const UNCLEAR_PAYMENTS: usize = 6;
/// Payments by which a server finds out that the fraud check answers.
const WELL: usize = 8;
/// Payments without a fraud check: one while a crowd waits for it, one when the crowd has given up, and those that the provider does not
/// answer.
const SIMPLE: usize = 2 + UNCHARGED;

/// How long a payment may be refused once everything answers again.
const RECOVERY: Duration = Duration::from_secs(3);
/// Payments that are sent at a time when the load is over.
const AT_A_TIME: usize = 16;

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        shape: Shape { rate: None, duration: Duration::from_millis(3_000), replicas: 1 },
        total_rate: |rate| rate.unwrap_or(RATE) * 1.1 + SIMPLE_RATE + PRODUCT_RATE,
        needs: &[("product-idle", 40), ("product", 100), ("payment", 20)],
        patience: PATIENCE,
        // As a page of products.
        reference_statements: 2,
        limits: &[Duration::from_micros(QUICK_US)],
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
        api.providers()?.set_profile("fraud", &GOOD_DAY).await?;
        let rate = shape.rate.unwrap_or(RATE);
        let later = rng.random_range(0.0..LATER);
        let [slow, hung] = [SLOW_FROM, HUNG_FROM].map(|share| shape.duration.mul_f64(share + later));
        // Of both there have to be enough in each phase, whatever the seed.
        let checked = arrivals::constant(rate, shape.duration);
        let simple = arrivals::poisson(&mut rng, SIMPLE_RATE, shape.duration);
        let audited = CROWD + UNCLEAR_PAYMENTS + 2 * WELL + 1 + SIMPLE + Moment::ALL.len();
        let orders = shop::place_orders(api, checked.len() + simple.len() + audited).await?;

        let mut tickets = Vec::new();
        let mut sales = Vec::new();
        let mut to_pay = orders.into_iter();
        for at in checked {
            let order = to_pay.next().expect("one for each");
            let card = if rng.random_ratio(1, STOLEN) { STOLEN_CARD } else { GOOD_CARD };
            let name = match at {
                at if at < slow => "payment-calm",
                at if at < hung => "payment",
                _ => "payment-hung",
            };
            let mut request = Request::post(name, PROCESS, payments::body(&order, card).to_string());
            if rng.random_ratio(1, TWICE) {
                // Which of the two pays is theirs to sort out: the order counts once among those that succeed.
                let mut twin = request.clone();
                twin.name = "twin";
                tickets.push(Ticket { at, request: twin });
            }
            if rng.random_ratio(1, LEAVES) {
                request.name = "leaver";
                request.hang_up = Some(Duration::from_millis(rng.random_range(2..300)));
            }
            tickets.push(Ticket { at, request });
            sales.push(Sale { order, path: PROCESS, card });
        }
        for at in simple {
            let order = to_pay.next().expect("one for each");
            let body = payments::body(&order, GOOD_CARD).to_string();
            tickets.push(Ticket { at, request: Request::post("simple", PROCESS_SIMPLE, body) });
            sales.push(Sale { order, path: PROCESS_SIMPLE, card: GOOD_CARD });
        }
        for at in arrivals::constant(PRODUCT_RATE, shape.duration) {
            let name = if at < slow { "product-idle" } else { "product" };
            tickets.push(Ticket { at, request: Request::get(name, PRODUCTS) });
        }
        let before = api.providers()?.ledger("payments").await?.len();
        let lasts = shape.duration.mul_f64(LASTS);
        let in_load = sales.len();
        sales.extend(to_pay.map(|order| Sale { order, path: PROCESS, card: GOOD_CARD }));
        let kills = sales.len() - Moment::ALL.len();
        for sale in &mut sales[kills - SIMPLE..kills] {
            sale.path = PROCESS_SIMPLE;
        }
        let by_order = sales.iter().enumerate().map(|(nth, sale)| (sale.order.id, nth)).collect();
        let (paid, flaws) = Default::default();
        let round = Round { rate, slow, hung, lasts, before, sales, by_order, in_load, paid, flaws };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        let idle = load.response("product-idle").value_at_quantile(0.99);
        let quick = (2 * idle).max(QUICK_US);
        let mut products = p99_within(&EXERCISE, "products-p99", load, "product", quick);
        products.expected = format!("{} (idle: {})", products.expected, ms(idle));
        let accepted = load.response("payment").len() - load.count("payment", "declined");
        let succeeded = load.count("payment", "ok");
        let clean =
            "within 2 s, every payment ends in 201, 402, 409 or 503 with Retry-After, and every page in 200";
        Findings {
            checks: vec![
                products,
                check(
                    &EXERCISE,
                    "slow-payments-succeed",
                    succeeded as f64 >= SUCCEED * accepted as f64,
                    "nine in ten succeed while the fraud check takes 0.4 s",
                    format!("{succeeded} of {accepted} succeeded"),
                ),
                no_failures(&EXERCISE, "only-clean-refusals", clean, load),
            ],
            signals: vec![
                signal(
                    "product p99",
                    load.response("product").value_at_quantile(0.99) as f64 / 1e3,
                    "ms",
                    Some(quick as f64 / 1e3),
                ),
                signal_to_keep_up(
                    "payments that succeed while the fraud check is slow",
                    100.0 * succeeded as f64 / accepted.max(1) as f64,
                    "%",
                    Some(100.0 * SUCCEED),
                ),
            ],
        }
    }
}

/// A page of products, as the shop's pages ask for it.
const PRODUCTS: &str = "/api/products?limit=20";

/// An order that is to be paid, and how.
struct Sale {
    order: Order,
    path: &'static str,
    card: &'static str,
}

impl Sale {
    /// Asks to pay the order, whatever the answer.
    async fn pay(&self, api: &Api) -> anyhow::Result<Reply> {
        payments::pay(api, self.path, &self.order, self.card).await
    }

    /// The same, within what a payment may take.
    async fn pay_in_time(&self, api: &Api) -> anyhow::Result<Reply> {
        let reply = tokio::time::timeout(PATIENCE, self.pay(api)).await;
        reply.map_err(|_| anyhow::anyhow!("a payment took longer than {PATIENCE:?}"))?
    }

    async fn is_paid(&self, api: &Api) -> anyhow::Result<bool> {
        let orders = shop::orders(api, self.order.user_id).await?;
        Ok(orders.iter().any(|order| order.id == self.order.id && order.status == "paid"))
    }

    /// Whether the fraud check refuses its card.
    fn is_denied(&self) -> bool {
        self.path == PROCESS && self.card == STOLEN_CARD
    }
}

pub struct Round {
    rate: f64,
    slow: Duration,
    hung: Duration,
    lasts: Duration,
    /// Entries of the payment provider's ledger before the load.
    before: usize,
    /// Those of the load, then those that are paid when it is over.
    sales: Vec<Sale>,
    in_load: usize,
    /// Where in `sales` each order is.
    by_order: BTreeMap<Uuid, usize>,
    /// The payment of each order, as it was confirmed first.
    paid: Mutex<BTreeMap<Uuid, Payment>>,
    /// What was wrong with an answer.
    flaws: Mutex<Vec<String>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "{:.0} payments a second over {servers}, {SIMPLE_RATE:.0} without a fraud check (Poisson arrivals), and {PRODUCT_RATE:.0} \
             product pages. One payment in {TWICE} is sent twice at once, one in {STOLEN} has a card that the fraud check denies, one \
             customer in {LEAVES} hangs up. The fraud check takes 10 to 20 ms, then 0.4 s, then it does not answer",
            self.rate
        )
    }

    fn faults(&self) -> Vec<Fault> {
        let fraud_check = |at, words, profile| Fault {
            at,
            lasts: self.lasts,
            what: Trouble::Provider(words, "fraud", profile),
        };
        vec![
            fraud_check(self.slow, "the fraud check is slow", SLOW),
            fraud_check(self.hung, "the fraud check does not answer", HUNG),
        ]
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        if request.name.starts_with("product") {
            return if answer.status == 200 {
                Outcome::Ok
            } else {
                Outcome::Failed(status_reason(answer.status))
            };
        }
        let Some(sale) = request.body.as_deref().and_then(|body| self.sale(body)) else {
            return Outcome::Failed("unknown-order");
        };
        match (answer.status, sale.path) {
            (201, _) => match Payment::read(answer.body) {
                Ok(payment) => self.confirmed(sale, payment),
                Err(_) => Outcome::Failed("not-a-payment"),
            },
            (402, PROCESS) if sale.card == STOLEN_CARD => Outcome::Expected("declined"),
            (503, PROCESS) if answer.headers.contains_key("retry-after") => Outcome::Expected("refused"),
            // Somebody else is paying this order.
            (409, PROCESS) => Outcome::Expected("being-paid"),
            (status, _) => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, _: &Load) -> anyhow::Result<Audit> {
        let providers = api.providers()?;
        let (before_kills, killed) = self.sales.split_at(self.sales.len() - Moment::ALL.len());
        let (crowd, others) = before_kills[self.in_load..].split_at(CROWD);
        let (unclear, others) = others.split_at(UNCLEAR_PAYMENTS);
        let (well, others) = others.split_at(2 * WELL);
        let [unanswered, beside_crowd, after_crowd, uncharged @ ..] = others else {
            unreachable!("as many as were placed")
        };

        // A breaker that is open closes before the next outage begins.
        let mut recovered = self.pay_all(api, &well[..WELL]).await;
        let (charges, mut ended) = self.unanswered(api, unanswered, uncharged).await?;
        if recovered.is_ok() {
            recovered = self.pay_all(api, &well[WELL..]).await;
        }
        providers.set_profile("fraud", &HUNG).await?;
        let (checks, pages) = self.crowd(api, crowd, beside_crowd, &mut ended).await?;
        if ended.is_ok() {
            let given_up = join_all(crowd[..GIVEN_UP].iter().map(|sale| ends_in_time(api, sale))).await;
            let simple = self.pay_at_once(api, after_crowd).await;
            ended = given_up.into_iter().chain([simple]).collect();
        }
        leave_trial(api, &crowd[0]).await?;
        providers.set_profile("fraud", &Profile::CALM).await?;
        providers.set_profile("payments", &UNCLEAR).await?;
        let given_up = unclear.iter().map(|sale| tokio::time::timeout(PATIENCE, sale.pay(api)));
        join_all(given_up).await;
        providers.set_profile("payments", &Profile::CALM).await?;

        if recovered.is_ok() {
            recovered = self.pay_all(api, before_kills).await;
        }
        let mut kills = Vec::new();
        for (moment, sale) in Moment::ALL.into_iter().zip(killed) {
            if recovered.is_ok() {
                let (reached, paid) = self.kill(api, moment, sale).await?;
                kills.extend(reached.then_some(moment));
                recovered = recovered.and_then(|count| paid.map(|()| count + 1));
            }
        }
        let recorded = self.compare(api).await;
        let killed = kills::words(&kills, Moment::words);
        let calls = checks.max(charges);
        let calls_words = format!("{checks} fraud checks and {charges} charges at most");
        let checks = vec![
            check(
                &EXERCISE,
                "payments-recorded",
                recorded.is_ok(),
                "each order that is paid was charged once, and no other was charged",
                match &recorded {
                    Ok(paid) => format!("{paid} orders paid, each charged once; {killed}"),
                    Err(error) => format!("{error:#}; {killed}"),
                },
            ),
            check(
                &EXERCISE,
                "unanswered-payments",
                ended.is_ok(),
                format!("503 with Retry-After within {PATIENCE:?}, and 201 where no fraud check is needed"),
                match ended {
                    Ok(()) => "all of them were refused in time, and the others succeeded".into(),
                    Err(error) => format!("{error:#}"),
                },
            ),
            check(
                &EXERCISE,
                "bounded-calls",
                checks > 0 && charges > 0 && calls <= MOST_CALLS && pages.is_ok(),
                format!(
                    "1 to {MOST_CALLS} calls of each service, and each product page within {PAGE_TAKES:?}"
                ),
                match pages {
                    Ok(()) => format!("{calls_words}, and the pages were answered"),
                    Err(error) => format!("{calls_words}; {error:#}"),
                },
            ),
            check(
                &EXERCISE,
                "recovers",
                recovered.is_ok(),
                format!("every order can be paid within {RECOVERY:?}"),
                match recovered {
                    Ok(paid) => format!("{paid} orders paid"),
                    Err(error) => format!("{error:#}"),
                },
            ),
        ];
        let signals =
            vec![signal("calls waiting for one service", calls as f64, "calls", Some(MOST_CALLS as f64))];
        let sentence = match recorded {
            Ok(paid) => format!("{paid} orders paid and charged once; {} kills", kills.len()),
            Err(error) => format!("{error:#}"),
        };
        Ok(Audit { sentence, findings: Findings { checks, signals } })
    }
}

impl Round {
    fn sale(&self, body: &[u8]) -> Option<&Sale> {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        let nth = self.by_order.get(&body["orderId"].as_str()?.parse().ok()?)?;
        self.sales.get(*nth)
    }

    /// Keeps the payment that somebody got, and compares it with what others got for the same order.
    fn confirmed(&self, sale: &Sale, payment: Payment) -> Outcome {
        if !payment.is_of(&sale.order) || sale.is_denied() {
            lock(&self.flaws).push(format!("order {} was confirmed as {payment:?}", sale.order.id));
            return Outcome::Failed("wrong-answer");
        }
        let mut paid = lock(&self.paid);
        let first = paid.entry(payment.order_id).or_insert_with(|| payment.clone());
        if *first != payment {
            lock(&self.flaws).push(format!("order {} has two payments", sale.order.id));
            return Outcome::Failed("wrong-answer");
        }
        Outcome::Ok
    }

    /// Pays all of these orders, as customers do who try again.
    async fn pay_all(&self, api: &Api, sales: &[Sale]) -> anyhow::Result<usize> {
        let paying: Vec<_> = sales.iter().map(|sale| self.pay_until_settled(api, sale)).collect();
        let paying = futures::stream::iter(paying).buffer_unordered(AT_A_TIME);
        paying.try_collect::<Vec<()>>().await.map(|settled| settled.len())
    }

    /// Sends a payment until its outcome is known.
    async fn pay_until_settled(&self, api: &Api, sale: &Sale) -> anyhow::Result<()> {
        let reply = payments::until_settled(RECOVERY, || sale.pay(api))
            .await
            .with_context(|| format!("order {} cannot be paid", sale.order.id))?;
        if reply.status == 402 && sale.is_denied() {
            return Ok(());
        }
        let payment = Payment::read(&reply.with_status(201)?.body)?;
        let right = self.confirmed(sale, payment) == Outcome::Ok;
        ensure!(right, "the payment of order {} is not right", sale.order.id);
        Ok(())
    }

    /// Compares orders, payments and charges, and says how many orders are paid.
    async fn compare(&self, api: &Api) -> anyhow::Result<usize> {
        if let Some(flaw) = lock(&self.flaws).first() {
            anyhow::bail!("{flaw}");
        }
        let charges = payments::charges(api, self.before).await?;
        let orders: Vec<&Order> = self.sales.iter().map(|sale| &sale.order).collect();
        let mut listed: BTreeMap<Uuid, Order> = BTreeMap::new();
        let users: std::collections::BTreeSet<Uuid> = orders.iter().map(|order| order.user_id).collect();
        for user in users {
            listed.extend(shop::orders(api, user).await?.into_iter().map(|order| (order.id, order)));
        }
        let (mut twice, mut unpaid, mut uncharged, mut paid) = (0, 0, 0, 0);
        for order in &orders {
            let charged = charges.get(&order.id.to_string()).map_or(0, Vec::len);
            let is_paid = listed.get(&order.id).is_some_and(|order| order.status == "paid");
            twice += usize::from(charged > 1);
            unpaid += usize::from(charged > 0 && !is_paid);
            uncharged += usize::from(charged == 0 && is_paid);
            paid += usize::from(is_paid);
        }
        let known: std::collections::BTreeSet<String> =
            orders.iter().map(|order| order.id.to_string()).collect();
        let strange = charges.keys().filter(|reference| !known.contains(*reference)).count();
        let wrong = [
            (twice, "orders charged twice"),
            (unpaid, "charged and not paid"),
            (uncharged, "paid and not charged"),
            (strange, "charges for no order"),
        ];
        let wrong: Vec<String> = wrong
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join(", "));
        for sale in self.sales.iter().filter(|sale| sale.is_denied()) {
            let charged = charges.contains_key(&sale.order.id.to_string());
            ensure!(!charged, "a card was charged that the fraud check denies");
        }
        let confirmed: Vec<Payment> = lock(&self.paid).values().cloned().collect();
        let count = confirmed.len();
        let reading: Vec<_> = confirmed.iter().map(|payment| ensure_readable(api, payment)).collect();
        futures::stream::iter(reading).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        ensure!(count <= paid, "{count} payments were confirmed, and {paid} orders are paid");
        Ok(paid)
    }
}

/// Whether a payment that was confirmed can be read and is still the same.
async fn ensure_readable(api: &Api, payment: &Payment) -> anyhow::Result<()> {
    let read: Payment = api.get(&format!("/api/payments/{}", payment.id), None).await?;
    ensure!(read == *payment, "payment {} was confirmed and is {read:?} now", payment.id);
    Ok(())
}
