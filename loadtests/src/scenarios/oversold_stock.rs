//! `oversold-stock`: a rush at one product, then at bundles of a few, with more demand than stock, while people read the
//! catalogue, and some buyers leave before they are answered.

mod contract;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_pcg::Pcg64;
use serde::Deserialize;
use sqlx::Connection;
use target_app::exercises::oversold_stock::EXERCISE;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Clause, Shape, Spec, TIMEOUT, WARM_UP};
use crate::api::Api;
use crate::checks::{Audit, Findings, check, failures, no_failures, p99_within, signal, signal_to_keep_up};
use crate::hint::Hinted;
use crate::load::{Answer, Load, Outcome, Request, Ticket, Timeline, arrivals, lock, status_reason};
use crate::shop::{self, Books, Cart, CartItem, Order, Product};

/// Checkouts a second, beside the crowds.
const RATE: f64 = 300.0;

/// Share of the schedule that rushes at one product; the rest wants bundles of some others.
const RUSH_SHARE: f64 = 0.55;

/// Products in the bundles.
const BUNDLED: usize = 4;

/// Crowds of this many buyers whose carts are sent at one moment, each with 3 of the same 4 products in any sequence, all in
/// stock. Code that locks products in the sequence of the cart comes through one crowd by luck, and through all of them never.
const CROWDS: usize = 16;
const CROWD: usize = 10;
const CROWDED: usize = 4;

/// Queues of this many buyers who want one piece of one product at one moment, of which there are more. Code that refuses whom
/// it cannot serve at once refuses some of them.
const QUEUES: usize = 4;
const QUEUE: usize = 24;

/// Carts in each queue that cannot be bought, because nobody knows the buyer or a product. They must be refused, and do no
/// harm to those beside them.
const MISTAKES: usize = 4;

/// How long before such a crowd comes, and after it, somebody else works on its products: all of the crowd begin while none
/// can go on, so that no seam is missed by luck. A foreign server has no such helper.
const HELD_BEFORE: Duration = Duration::from_millis(10);
const HELD_AFTER: Duration = Duration::from_millis(15);

/// Of this many buyers, one leaves before the answer.
const LEAVER: usize = 12;

/// Buyers for each server who leave, many at a time, when the load is over: more than any pool has connections.
const CROWD_OF_LEAVERS: usize = 60;

/// Users who do nothing but leave: who may have an order that nobody was told of.
const LEAVERS: usize = 3;

/// Pages of the catalogue a second.
const CATALOGUE_RATE: f64 = 60.0;

/// Products on one.
const CATALOGUE_PAGE: usize = 20;

/// What a page of the catalogue may take: ten times what it takes in the rush, and a tenth of what makes people leave.
const CATALOGUE_LIMIT_US: u64 = 100_000;

/// Of this many confirmed orders, one is read back at once.
const READ_BACK: usize = 6;

/// Buyers who want the same when the load is over, each again as soon as it has bought until it has enough or no time left: twice
/// one product, then a cart of three in any sequence. Code that gives up when it has lost a race a few times refuses some of them.
const RACERS: usize = 20;
const RACES: [usize; 3] = [1, 1, 3];
const LAPS: usize = 8;
const RACE_TAKES: Duration = Duration::from_millis(200);

/// How often the books are read, at most, until they balance or do not change, and the time between two readings.
const READINGS: u32 = 5;
const SETTLED: Duration = Duration::from_millis(250);

/// How long the server may take to be as before, when the load is over.
const RECOVERY: Duration = Duration::from_millis(2_500);

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        // Two replicas: what one process does to protect the stock must not be taken for protection.
        shape: Shape { rate: None, duration: Duration::from_millis(1_500), replicas: 2 },
        total_rate: |rate| {
            rate.unwrap_or(RATE) + CATALOGUE_RATE + (CROWDS * CROWD + QUEUES * (QUEUE + MISTAKES)) as f64
        },
        needs: &[("checkout", 100), ("catalogue", 30)],
        patience: TIMEOUT,
        // As a page of the catalogue.
        reference_statements: 2,
        limits: &[Duration::from_micros(CATALOGUE_LIMIT_US)],
        needs_schedule: false,
        server: &[],
        providers: false,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        let rate = shape.rate.unwrap_or(RATE);
        let heavy = shop::user(api, shop::HEAVY_USER).await?.id;
        let users: Vec<Uuid> = shop::users(api).await?.iter().map(|user| user.id).collect();
        let mut buyers: Vec<Uuid> = users.iter().copied().filter(|user| *user != heavy).collect();
        if buyers.len() <= LEAVERS {
            return Err(Hinted::unseeded(format!("there are fewer than {} users", LEAVERS + 2)).into());
        }
        let leavers = buyers.split_off(buyers.len() - LEAVERS);
        let before = Books::read(api, &users).await?;

        let schedule = arrivals::poisson(&mut rng, rate, shape.duration);
        let bundles_from = shape.duration.mul_f64(RUSH_SHARE);
        let rush = schedule.partition_point(|at| *at < bundles_from);
        let bundles = schedule.len() - rush;
        let mut stock: Vec<&Product> = before.products.values().collect();
        // Half the demand at most: each sale must sell out, or nothing is learned.
        let [rushed] = take(&mut stock, 1..=rush / 2)?;
        let bundled: [Uuid; BUNDLED] = take(&mut stock, 1..=bundles / 2)?;

        let mut plan = Plan { rng, buyers, leavers, tickets: Vec::new() };
        for (n, at) in schedule.into_iter().enumerate() {
            let items: Vec<(Uuid, i32)> = if n < rush {
                vec![(rushed, *[1, 1, 1, 1, 2, 3].choose(&mut plan.rng).expect("not empty"))]
            } else {
                let lines = plan.rng.random_range(1..=3);
                let mut products = bundled;
                // The first few of a shuffle: any selection, in any sequence.
                products.shuffle(&mut plan.rng);
                products[..lines].iter().map(|id| (*id, plan.rng.random_range(1..=3))).collect()
            };
            plan.checkout(at, &items);
        }
        // Of what is in stock for all of them, so none may be refused.
        // After the rush, which must sell out also where everybody waits for everybody.
        let moment = |nth: usize, of: usize| {
            let from = bundles_from.max(WARM_UP);
            from + shape.duration.saturating_sub(from).mul_f64((nth as f64 + 0.5) / of as f64)
        };
        let (mut queued, mut crowded) = (Vec::new(), Vec::new());
        for queue in 0..QUEUES {
            let Ok([product]) = take::<1>(&mut stock, 2 * QUEUE..=usize::MAX) else { break };
            // The first one has the servers open all connections that their pools may have, before anything is measured.
            let at = if queue == 0 { WARM_UP / 3 } else { moment(queue - 1, QUEUES - 1) };
            queued.push((at, vec![product]));
            for nth in 0..QUEUE {
                // Among the others, and not after them.
                if nth % (QUEUE / MISTAKES) == 0 {
                    plan.mistakes(at, product);
                }
                plan.stays("crowd", at, &[(product, 1)]);
            }
        }
        let mut stocked = Vec::new();
        for crowd in 0..CROWDS {
            let Ok(mut products) = take::<CROWDED>(&mut stock, 2 * CROWD..=usize::MAX) else { break };
            stocked.extend(products);
            let at = moment(crowd, CROWDS);
            // Every second one: what all had to wait for, they go through in one sequence.
            if crowd % 2 == 0 {
                crowded.push((at, products.to_vec()));
            }
            for _ in 0..CROWD {
                products.shuffle(&mut plan.rng);
                let items: Vec<_> = products[1..].iter().map(|id| (*id, 1)).collect();
                plan.stays("crowd", at, &items);
            }
        }
        for at in arrivals::constant(CATALOGUE_RATE, shape.duration) {
            let request = Request::get("catalogue", format!("/products?page=1&limit={CATALOGUE_PAGE}"));
            plan.tickets.push(Ticket { at, request });
        }

        let leaving = plan.tickets.iter().filter(|ticket| ticket.request.hang_up.is_some()).count();
        let (confirmed_now, to_read) = mpsc::channel(64);
        let round = Round {
            rate,
            users,
            leavers: plan.leavers,
            leaving,
            leaving_after: CROWD_OF_LEAVERS * api.targets.len(),
            rushed,
            bundled,
            stocked,
            held: [queued, crowded],
            before,
            sales: Mutex::default(),
            refusals: Mutex::default(),
            flaws: Mutex::default(),
            confirmed_now,
            to_read: Mutex::new(Some(to_read)),
        };
        Ok((round, plan.tickets))
    }

    fn objectives(load: &Load) -> Findings {
        Findings {
            checks: vec![
                no_failures(
                    &EXERCISE,
                    "only-clean-refusals",
                    "every checkout ends in an order of the whole cart, or in 409",
                    load,
                ),
                p99_within(&EXERCISE, "catalogue-p99", load, "catalogue", CATALOGUE_LIMIT_US),
            ],
            signals: Vec::new(),
        }
    }
}

/// The best-stocked products within these bounds, which are taken out of `stock`.
fn take<const N: usize>(
    stock: &mut Vec<&Product>,
    bounds: std::ops::RangeInclusive<usize>,
) -> anyhow::Result<[Uuid; N]> {
    stock.sort_by_key(|product| (Reverse(product.inventory), product.id));
    let fits =
        |product: &Product| usize::try_from(product.inventory).is_ok_and(|pieces| bounds.contains(&pieces));
    let taken: Vec<Uuid> =
        stock.iter().filter(|product| fits(product)).map(|product| product.id).take(N).collect();
    stock.retain(|product| !taken.contains(&product.id));
    taken.try_into().map_err(|_| {
        let few = format!(
            "fewer than {N} products have between {} and {} pieces in stock, and a sale that sells out needs them",
            bounds.start(),
            bounds.end()
        );
        Hinted::new(few, "raise --rate or --duration, or give the server the seeded data anew").into()
    })
}

/// A schedule in the making.
struct Plan {
    rng: Pcg64,
    buyers: Vec<Uuid>,
    leavers: Vec<Uuid>,
    tickets: Vec<Ticket>,
}

impl Plan {
    /// Somebody buys, or leaves in the middle of it.
    fn checkout(&mut self, at: Duration, items: &[(Uuid, i32)]) {
        if !self.rng.random_ratio(1, LEAVER as u32) {
            return self.stays("checkout", at, items);
        }
        let leaver = *self.leavers.choose(&mut self.rng).expect("there are some");
        let patience = Duration::from_micros(self.rng.random_range(300..6_000));
        let request = Request::post("leaver", "/orders/checkout", Cart::of(leaver, items).json());
        self.tickets.push(Ticket { at, request: Request { hang_up: Some(patience), ..request } });
    }

    /// Somebody nobody knows wants a product, or somebody wants one that nobody sells beside it.
    fn mistakes(&mut self, at: Duration, product: Uuid) {
        let buyer = *self.buyers.choose(&mut self.rng).expect("there are some");
        let unknown = Uuid::from_u128(self.rng.random());
        let cart = if self.rng.random() {
            Cart::of(unknown, &[(product, 1)])
        } else {
            Cart::of(buyer, &[(product, 1), (unknown, 1)])
        };
        let request = Request::post("mistake", "/orders/checkout", cart.json());
        self.tickets.push(Ticket { at, request });
    }

    fn stays(&mut self, name: &'static str, at: Duration, items: &[(Uuid, i32)]) {
        let buyer = *self.buyers.choose(&mut self.rng).expect("there are some");
        let request = Request::post(name, "/orders/checkout", Cart::of(buyer, items).json());
        self.tickets.push(Ticket { at, request });
    }
}

/// A confirmed order, and when it was asked for, from the start of the load.
struct Sale {
    order: Order,
    sent: Duration,
}

/// What was refused, and when, from the start of the load.
struct Refusal {
    items: Vec<CartItem>,
    done: Duration,
}

pub struct Round {
    rate: f64,
    /// All of them.
    users: Vec<Uuid>,
    leavers: Vec<Uuid>,
    /// How many requests are theirs, in the load and after it.
    leaving: usize,
    leaving_after: usize,
    rushed: Uuid,
    bundled: [Uuid; BUNDLED],
    /// Products of which most is left when the load is over.
    stocked: Vec<Uuid>,
    /// What queues and crowds want, and when they come, from the start of the load.
    held: [Vec<(Duration, Vec<Uuid>)>; 2],
    before: Books,
    sales: Mutex<Vec<Sale>>,
    refusals: Mutex<Vec<Refusal>>,
    /// What is wrong with orders that were confirmed, or could not be read back at once.
    flaws: Mutex<Vec<String>>,
    confirmed_now: mpsc::Sender<Order>,
    to_read: Mutex<Option<mpsc::Receiver<Order>>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        let stock = |id: &Uuid| self.before.products[id].inventory;
        let bundled: Vec<String> = self.bundled.iter().map(|id| stock(id).to_string()).collect();
        format!(
            "Poisson arrivals, {:.0} checkouts a second over {servers}: first a rush at one product with {} in stock, then at \
             bundles of 1 to 3 out of {BUNDLED} with {}, 1 to 3 pieces each, in any sequence. One buyer in {LEAVER} hangs up. \
             Beside it, of products that are in stock, {CROWDS} crowds of {CROWD} buyers who want 3 of the same {CROWDED} at one \
             moment, and {QUEUES} of {QUEUE} who want one, beside {MISTAKES} carts that cannot be bought; and {CATALOGUE_RATE:.0} pages of the catalogue a second",
            self.rate,
            stock(&self.rushed),
            bundled.join(", "),
        )
    }

    /// Reads orders back as soon as they were confirmed, and works on what the crowds want.
    async fn beside(&self, api: &Api, timeline: &Timeline) {
        let read_back = async {
            let mut to_read = lock(&self.to_read).take().expect("it is read once");
            while let Some(order) = to_read.recv().await {
                match shop::orders(api, order.user_id).await {
                    Ok(orders) if orders.contains(&order) => {}
                    Ok(_) => lock(&self.flaws)
                        .push("an order could not be read right after its confirmation".into()),
                    // A server that is busy is judged by its other answers.
                    Err(_) => {}
                }
            }
            // Nobody confirms any more; what waits for this ends with the load.
            std::future::pending::<()>().await;
        };
        let [queued, crowded] = &self.held;
        // Without such work, the crowds come all the same.
        let _ = tokio::join!(read_back, self.hold(api, timeline, queued), self.hold(api, timeline, crowded));
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        if request.name == "catalogue" {
            return match answer.status {
                200 if is_page(answer.body) => Outcome::Ok,
                200 => Outcome::Failed("not-a-page"),
                status => Outcome::Failed(status_reason(status)),
            };
        }
        if request.name == "mistake" {
            return match answer.status {
                422 => Outcome::Ok,
                status => Outcome::Failed(status_reason(status)),
            };
        }
        let cart: Cart =
            serde_json::from_slice(request.body.as_deref().unwrap_or_default()).expect("made here");
        match answer.status {
            201 => match Order::read(answer.body) {
                Ok(order) => {
                    let flaw = cart.differs(&order, "pending", &self.before.products);
                    let mut sales = lock(&self.sales);
                    if sales.len().is_multiple_of(READ_BACK) {
                        // When it is full, others are read back.
                        let _ = self.confirmed_now.try_send(order.clone());
                    }
                    // Also an order of something else is a sale.
                    sales.push(Sale { order, sent: answer.sent });
                    match flaw {
                        None => Outcome::Ok,
                        Some(flaw) => {
                            lock(&self.flaws).push(flaw);
                            Outcome::Failed("other-order")
                        }
                    }
                }
                Err(_) => Outcome::Failed("not-an-order"),
            },
            409 => {
                lock(&self.refusals).push(Refusal { items: cart.items, done: answer.done });
                Outcome::Expected("short-stock")
            }
            status => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, load: &Load) -> anyhow::Result<Audit> {
        self.leave(api).await;
        let unanswered = self.unanswered(load);
        // First, because what it buys is in the books as well.
        let mut recovered = self.recover(api).await;
        // In line behind what has failed, a race would take long and show nothing new.
        if recovered.is_ok() && failures(load).is_empty() {
            recovered = self.race(api).await.and(recovered);
        }
        let (after, findings) = self.settled_books(api, unanswered).await?;
        let sold = shop::pieces(after.new_orders(&self.before));
        let sold = |id: &Uuid| sold.get(id).copied().unwrap_or(0);
        let before = |id: &Uuid| i64::from(self.before.products[id].inventory);
        let oversold: i64 = self.before.products.keys().map(|id| (sold(id) - before(id)).max(0)).sum();

        let story = |id: &Uuid| format!("{} of {}", sold(id), before(id));
        let bundles: Vec<String> = self.bundled.iter().map(story).collect();
        let stories = format!("{} of the rush, {} of the bundles", story(&self.rushed), bundles.join(", "));
        let refused_wrongly = self.refused_wrongly(&after);

        let checks = vec![
            check(
                &EXERCISE,
                "sold-within-stock",
                oversold == 0,
                "no piece is sold twice",
                format!("{oversold} pieces oversold: sold {stories}"),
            ),
            check(
                &EXERCISE,
                "stock-adds-up",
                findings.unaccounted == 0,
                "stock before − pieces in orders = stock after, for each product",
                format!("{} pieces unaccounted for", findings.unaccounted),
            ),
            check(
                &EXERCISE,
                "orders-recorded",
                findings.flaw.is_none() && lock(&self.flaws).is_empty(),
                format!(
                    "every confirmed order is that of its cart and in the books, and there are no others but for {unanswered} \
                     checkouts without an answer"
                ),
                match (lock(&self.flaws).first(), findings.flaw) {
                    (None, None) => format!("{} confirmed and recorded", lock(&self.sales).len()),
                    (Some(flaw), _) => flaw.clone(),
                    (None, Some(flaw)) => flaw,
                },
            ),
            check(
                &EXERCISE,
                "sells-out",
                refused_wrongly == 0,
                "who was refused could not have been served from what was left",
                format!(
                    "{refused_wrongly} of {} refused although the stock sufficed",
                    lock(&self.refusals).len()
                ),
            ),
            check(
                &EXERCISE,
                "recovers",
                recovered.is_ok(),
                format!("each product can be bought within {} s, or is short", RECOVERY.as_secs_f32()),
                match recovered {
                    Ok(bought) => format!("{bought} bought, one after the other"),
                    Err(error) => format!("{error:#}"),
                },
            ),
        ];
        let signals = vec![
            signal("pieces oversold", oversold as f64, "pieces", Some(0.0)),
            signal("checkouts failed or unanswered", self.uncertain(load) as f64, "requests", Some(0.0)),
            signal_to_keep_up(
                "stock of the rush sold",
                100.0 * sold(&self.rushed) as f64 / before(&self.rushed) as f64,
                "%",
                Some(100.0),
            ),
        ];
        let sentence = match oversold {
            0 => format!("sold {stories}"),
            n => format!("oversold {n}: sold {stories}"),
        };
        Ok(Audit { sentence, findings: Findings { checks, signals } })
    }
}

/// What the books say of a load.
struct Reading {
    /// Pieces that are neither in stock nor in an order, or in both.
    unaccounted: i64,
    /// What is wrong with an order, if anything.
    flaw: Option<String>,
}

impl Round {
    /// Checkouts that ended without an answer, but for those of the leavers: each may have become an order or not.
    fn uncertain(&self, load: &Load) -> u64 {
        [&load.tickets, &load.warm_up]
            .map(|tickets| tickets.failed + tickets.timed_out + tickets.in_flight)
            .iter()
            .sum()
    }

    /// Checkouts without an answer. A closed loop goes round the tickets, so its leavers are counted.
    fn unanswered(&self, load: &Load) -> usize {
        let left = load.count("leaver", "hung-up") + load.warm_up.ok;
        let others = [&load.tickets, &load.warm_up].map(|tickets| tickets.timed_out + tickets.in_flight);
        self.leaving.max(left as usize) + self.leaving_after + others.iter().sum::<u64>() as usize
    }

    /// Works on the products of each crowd while it comes.
    async fn hold(
        &self,
        api: &Api,
        timeline: &Timeline,
        crowds: &[(Duration, Vec<Uuid>)],
    ) -> sqlx::Result<()> {
        // Before the first one comes: a connection takes longer than the time before a crowd.
        let Some(mut connection) = api.database().await? else { return Ok(()) };
        for (at, products) in crowds {
            timeline.at(at.saturating_sub(HELD_BEFORE)).await;
            let mut work = connection.begin().await?;
            // In one sequence, as the fixed variant has it.
            sqlx::query("SELECT FROM products WHERE id = ANY($1) ORDER BY id FOR UPDATE")
                .bind(products)
                .execute(&mut *work)
                .await?;
            timeline.at(*at + HELD_AFTER).await;
            work.rollback().await?;
        }
        Ok(())
    }

    /// Has buyers leave: nothing that was begun for them may be in anybody's way afterwards.
    async fn leave(&self, api: &Api) {
        let carts: Vec<Cart> = (self.leavers.iter().cycle().zip(self.stocked.iter().cycle()))
            .map(|(leaver, product)| Cart::of(*leaver, &[(*product, 1)]))
            .take(self.leaving_after)
            .collect();
        let leaving = futures::stream::iter(carts).enumerate().map(|(nth, cart)| async move {
            // In the middle of a checkout, wherever that is.
            let patience = Duration::from_micros(300 + 150 * (nth as u64 % 20));
            let _ = tokio::time::timeout(patience, cart.check_out(api)).await;
        });
        leaving.buffer_unordered(QUEUE).collect::<()>().await;
    }

    /// Has buyers race for products of which there are enough for all.
    async fn race(&self, api: &Api) -> anyhow::Result<()> {
        let products = shop::products(api).await?;
        let mut products: Vec<&Product> = products.values().collect();
        products.sort_by_key(|product| Reverse(product.inventory));
        let buyers = self.users.iter().filter(|user| !self.leavers.contains(user)).cycle();
        let racers: Vec<Uuid> = buyers.take(RACERS).copied().collect();
        products.retain(|product| product.inventory as usize >= RACERS * LAPS);
        let mut products = products.into_iter().map(|product| (product.id, 1));
        for lines in RACES {
            let items: Vec<(Uuid, i32)> = products.by_ref().take(lines).collect();
            if items.len() < lines {
                break;
            }
            let start = Instant::now();
            let race = racers.iter().enumerate().map(|(nth, racer)| {
                let mut items = items.clone();
                if nth % 2 == 0 {
                    items.reverse();
                }
                async move {
                    for lap in 0..LAPS {
                        if lap > 0 && start.elapsed() > RACE_TAKES {
                            break;
                        }
                        // Each time in another sequence.
                        items.rotate_left(lines / 2);
                        let reply = Cart::of(*racer, &items).check_out(api).await?;
                        let reply =
                            reply.with_status(201).context("buyers raced for what there was enough of")?;
                        let order = Order::read(&reply.body)?;
                        lock(&self.sales).push(Sale { order, sent: Duration::MAX });
                    }
                    anyhow::Ok(())
                }
            });
            // To the end, also when one has failed: what the others buy is in the books.
            futures::future::join_all(race).await.into_iter().collect::<anyhow::Result<()>>()?;
        }
        Ok(())
    }

    /// Buys a piece of everything that was in the load, and says how many there were.
    async fn recover(&self, api: &Api) -> anyhow::Result<usize> {
        let end = Instant::now() + RECOVERY;
        let buyer = self.users.iter().find(|user| !self.leavers.contains(user)).expect("there are buyers");
        let wanted: Vec<Uuid> = {
            let (sales, refusals) = (lock(&self.sales), lock(&self.refusals));
            let sold = sales.iter().flat_map(|sale| &sale.order.items).map(|item| item.product_id);
            let refused = refusals.iter().flat_map(|refusal| &refusal.items).map(|item| item.product_id);
            let known: std::collections::BTreeSet<Uuid> = sold.chain(refused).collect();
            known.into_iter().filter(|id| self.before.products.contains_key(id)).collect()
        };
        let mut bought = 0;
        for product in wanted {
            loop {
                let left = end.saturating_duration_since(Instant::now());
                let asked = async {
                    let stock = shop::product(api, product).await?.inventory;
                    anyhow::Ok((stock, Cart::of(*buyer, &[(product, 1)]).check_out(api).await?))
                };
                let Ok(asked) = tokio::time::timeout(left, asked).await else {
                    anyhow::bail!(
                        "product {product} could not be bought within {} s",
                        RECOVERY.as_secs_f32()
                    );
                };
                match asked {
                    Ok((_, reply)) if reply.status == 201 => {
                        let order = Order::read(&reply.body)?;
                        lock(&self.sales).push(Sale { order, sent: Duration::MAX });
                        bought += 1;
                        break;
                    }
                    Ok((0, reply)) if reply.status == 409 => break,
                    // It has time to recover, and none to refuse.
                    Ok((stock, reply)) if reply.status == 409 => {
                        anyhow::bail!("a piece of {product} was refused, of which {stock} were in stock")
                    }
                    Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        Ok(bought)
    }

    /// The books when they no longer change: of who has left, the server may still be writing an order.
    async fn settled_books(&self, api: &Api, unanswered: usize) -> anyhow::Result<(Books, Reading)> {
        let (mut readings, mut before) = (0, None);
        loop {
            let books = Books::read(api, &self.users).await?;
            let reading = self.compare(&books, unanswered);
            let balanced = reading.unaccounted == 0 && reading.flaw.is_none();
            readings += 1;
            if balanced || unanswered == 0 || readings == READINGS || before.as_ref() == Some(&books) {
                return Ok((books, reading));
            }
            before = Some(books);
            tokio::time::sleep(SETTLED).await;
        }
    }

    fn compare(&self, after: &Books, unanswered: usize) -> Reading {
        let sold = shop::pieces(after.new_orders(&self.before));
        let mut unaccounted = 0;
        for (id, product) in &self.before.products {
            let left = after.products.get(id).map_or(0, |product| i64::from(product.inventory));
            let before = i64::from(product.inventory);
            unaccounted += (before - sold.get(id).copied().unwrap_or(0) - left).abs().max(-left);
        }

        let sales = lock(&self.sales);
        let confirmed: BTreeMap<Uuid, &Order> =
            sales.iter().map(|sale| (sale.order.id, &sale.order)).collect();
        let lost = sales.iter().filter(|sale| after.orders.get(&sale.order.id) != Some(&sale.order)).count();
        let altered =
            (self.before.orders.iter()).filter(|(id, order)| after.orders.get(id) != Some(order)).count();
        let others: Vec<&Order> =
            after.new_orders(&self.before).filter(|order| !confirmed.contains_key(&order.id)).collect();
        let strangers = others.iter().filter(|order| !self.leavers.contains(&order.user_id)).count();
        let untold = unanswered - self.leaving - self.leaving_after;
        let flaw = if lost > 0 {
            Some(format!("{lost} of {} confirmed orders are missing or altered", sales.len()))
        } else if confirmed.len() < sales.len() {
            Some(format!("{} orders share an id with another", sales.len() - confirmed.len()))
        } else if altered > 0 {
            Some(format!("{altered} orders from before the load are missing or altered"))
        } else if strangers > untold || others.len() > unanswered {
            Some(format!("{} orders that nobody was told of", others.len()))
        } else {
            others.iter().find_map(|order| {
                let flaw = order.cart().differs(order, "pending", &self.before.products)?;
                Some(format!("of an order without an answer: {flaw}"))
            })
        };
        Reading { unaccounted, flaw }
    }

    /// Refusals of carts for which there was enough at that moment: what was left at the end, and what was sold to those who
    /// asked later. Nothing adds stock in this shop.
    fn refused_wrongly(&self, after: &Books) -> usize {
        let (mut sales, refusals) = (lock(&self.sales), lock(&self.refusals));
        sales.sort_by_key(|sale| Reverse(sale.sent));
        let mut refusals: Vec<&Refusal> = refusals.iter().collect();
        refusals.sort_by_key(|refusal| Reverse(refusal.done));
        let mut later: BTreeMap<Uuid, i64> = BTreeMap::new();
        let mut sold = sales.iter().peekable();
        let mut wrongly = 0;
        for refusal in refusals {
            while let Some(sale) = sold.next_if(|sale| sale.sent > refusal.done) {
                for item in &sale.order.items {
                    *later.entry(item.product_id).or_default() += i64::from(item.quantity);
                }
            }
            let enough = |item: &CartItem| {
                let left =
                    after.products.get(&item.product_id).map_or(0, |product| i64::from(product.inventory));
                left + later.get(&item.product_id).copied().unwrap_or(0) >= i64::from(item.quantity)
            };
            wrongly += usize::from(refusal.items.iter().all(enough));
        }
        wrongly
    }
}

fn is_page(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Page {
        products: Vec<Product>,
    }
    serde_json::from_slice::<Page>(body).is_ok_and(|page| page.products.len() == CATALOGUE_PAGE)
}
