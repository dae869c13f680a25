//! `oversold-stock`: a rush at one product, then at a bundle of two, with more demand than stock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::Deserialize;
use serde_json::json;
use target_app::catalogue::Exercise;
use target_app::exercises::oversold_stock::EXERCISE;
use uuid::Uuid;

use super::{Audit, Findings, Shape, check, no_failures, signal};
use crate::api::{Api, HEAVY_USER, Order, OrderItem, Product};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, status_reason};

/// Checkouts a second.
const RATE: f64 = 300.0;

/// Share of the schedule that rushes at one product; the rest wants a bundle of two others.
const RUSH_SHARE: f64 = 0.7;

pub struct Scenario;

impl super::Scenario for Scenario {
    fn exercise(&self) -> &'static Exercise {
        &EXERCISE
    }

    fn headline(&self) -> &'static str {
        "checkout"
    }

    fn shape(&self) -> Shape {
        // Two replicas: what one process does to protect the stock must not be taken for protection.
        Shape { rate: None, duration: Duration::from_millis(1_700), replicas: 2 }
    }

    fn total_rate(&self, rate: Option<f64>) -> f64 {
        rate.unwrap_or(RATE)
    }

    fn needs(&self) -> &'static [(&'static str, u64)] {
        &[("checkout", 100)]
    }

    fn limits(&self) -> &'static [Duration] {
        &[]
    }

    fn prepare<'a>(
        &'a self,
        api: &'a Api,
        shape: &'a Shape,
        mut rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Box<dyn super::Round>>> {
        async move {
            let rate = shape.rate.unwrap_or(RATE);
            let schedule = arrivals::poisson(&mut rng, rate, shape.duration);
            let bundle_from = shape.duration.mul_f64(RUSH_SHARE);
            let rush = schedule.partition_point(|at| *at < bundle_from);
            let bundles = schedule.len() - rush;

            let products = api.products().await?;
            // Half the demand at most: each sale must sell out, or nothing is learned.
            let [rushed] = pick(&products, rush / 2, &[])?;
            let [left, right] = pick(&products, bundles / 2, &[rushed.0])?;

            let heavy = api.user(HEAVY_USER).await?.id;
            let others: anyhow::Result<Vec<crate::api::User>> = api.get("/users", None).await;
            let others = others.into_iter().flatten().map(|user| user.id).filter(|id| *id != heavy);
            let buyers: Vec<Uuid> = std::iter::once(heavy).chain(others).collect();

            let tickets = schedule.into_iter().enumerate().map(|(n, at)| {
                let cart = match (n < rush, rng.random()) {
                    (true, _) => vec![rushed.0],
                    // Two people put the same two products into their carts in different sequences.
                    (false, true) => vec![left.0, right.0],
                    (false, false) => vec![right.0, left.0],
                };
                let items: Vec<_> = cart.iter().map(|id| json!({ "productId": id, "quantity": 1 })).collect();
                let cart = json!({ "userId": buyers[rng.random_range(0..buyers.len())], "items": items });
                Ticket { at, request: Request::post("checkout", "/orders/checkout", cart.to_string()) }
            });
            Ok(Box::new(Round {
                tickets: tickets.collect(),
                rate,
                buyers,
                stock: [rushed, left, right],
                confirmed: Mutex::default(),
            }) as Box<dyn super::Round>)
        }
        .boxed()
    }

    fn objectives(&self, load: &Load) -> Findings {
        Findings {
            checks: vec![no_failures(
                &EXERCISE,
                "only-clean-refusals",
                "every checkout ends in an order of the whole cart, or in 409",
                load,
            )],
            signals: Vec::new(),
        }
    }
}

struct Round {
    tickets: Vec<Ticket>,
    rate: f64,
    buyers: Vec<Uuid>,
    /// The product of the rush and the two of the bundle, with their stock before the sale.
    stock: [(Uuid, i64); 3],
    /// Orders that were answered with 201.
    confirmed: Mutex<Vec<Order>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        let [(_, rushed), (_, left), (_, right)] = self.stock;
        format!(
            "Poisson arrivals, {:.0} checkouts a second over {servers}: first a rush at one product with {rushed} in stock, \
             then at a bundle of two with {left} and {right}, put into the cart in either sequence",
            self.rate,
        )
    }

    fn tickets(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match answer.status {
            201 => match serde_json::from_slice::<Order>(answer.body) {
                Ok(order) => {
                    let whole = request.body.as_ref().is_some_and(|cart| is_of(&order, cart));
                    // Also an order of something else is a sale.
                    self.confirmed.lock().expect("no judge panics while it holds the list").push(order);
                    if whole { Outcome::Ok } else { Outcome::Failed("other-order") }
                }
                Err(_) => Outcome::Failed("not-an-order"),
            },
            409 => Outcome::Expected("short-stock"),
            status => Outcome::Failed(status_reason(status)),
        }
    }

    fn audit<'a>(&'a self, api: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>> {
        async move {
            let confirmed = self.confirmed.lock().expect("no judge panics while it holds the list").clone();
            let mut sold: BTreeMap<Uuid, i64> = BTreeMap::new();
            for item in confirmed.iter().flat_map(|order| &order.items) {
                *sold.entry(item.product_id).or_default() += item.quantity;
            }

            let mut oversold = 0;
            let mut unaccounted = 0;
            let mut left = Vec::new();
            let mut stories = Vec::new();
            for (product, before) in self.stock {
                let after = api.product(product).await?.inventory;
                let sold = sold.get(&product).copied().unwrap_or(0);
                oversold += (sold - before).max(0);
                unaccounted += (before - sold - after).abs().max(-after);
                left.push(after.max(0));
                stories.push(format!("{sold} of {before}"));
            }
            let stories = stories.join(", ");
            let (rushed, stock) = self.stock[0];
            let rushed = sold.get(&rushed).copied().unwrap_or(0);
            // A bundle is sold out with its scarcer half.
            let unsold = left[0] + left[1].min(left[2]);
            let missing = self.missing(api, &confirmed).await?;
            // What failed or was cut off may have taken stock without a confirmation: those are the objective's to judge.
            let uncertain = (load.tickets.failed + load.tickets.timed_out + load.tickets.in_flight) as i64
                + (load.warm_up.failed + load.warm_up.timed_out + load.warm_up.in_flight) as i64;

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
                    unaccounted <= 2 * uncertain,
                    match uncertain {
                        0 => "stock before − sold = stock after".into(),
                        n => format!("stock before − sold = stock after, but for 2 pieces for each of {n} unanswered checkouts"),
                    },
                    format!("{unaccounted} pieces unaccounted for"),
                ),
                check(
                    &EXERCISE,
                    "orders-recorded",
                    missing == 0,
                    "every confirmed order can be read back, line by line",
                    format!("{missing} of {} missing or altered", confirmed.len()),
                ),
                check(
                    &EXERCISE,
                    "sells-out",
                    unsold == 0,
                    "none left of the product of the rush, nor of the scarcer one of the bundle",
                    format!("{unsold} left"),
                ),
            ];
            let signals = vec![
                signal("pieces oversold", oversold as f64, "pieces", Some(0.0)),
                signal("checkouts failed or unanswered", uncertain as f64, "requests", Some(0.0)),
                signal("stock of the rush sold", 100.0 * rushed as f64 / stock as f64, "%", Some(100.0)),
            ];
            let sentence = match oversold {
                0 => format!("sold {stories} in stock"),
                n => format!("oversold {n}: sold {stories} in stock"),
            };
            Ok(Audit { sentence, findings: Findings { checks, signals } })
        }
        .boxed()
    }
}

/// The best-stocked products with at most `most` pieces, and their stock.
fn pick<const N: usize>(
    products: &[Product],
    most: usize,
    taken: &[Uuid],
) -> anyhow::Result<[(Uuid, i64); N]> {
    let mut fit: Vec<_> = products
        .iter()
        .filter(|product| {
            product.inventory > 0 && product.inventory <= most as i64 && !taken.contains(&product.id)
        })
        .map(|product| (product.id, product.inventory))
        .collect();
    fit.sort_by_key(|(id, inventory)| (-inventory, *id));
    fit.truncate(N);
    fit.try_into().map_err(|_| {
        anyhow::anyhow!(
            "fewer than {N} products have between 1 and {most} pieces in stock, and a sale that sells out needs them; \
             raise --rate or --duration, or seed the server anew"
        )
    })
}

impl Round {
    /// Confirmed orders that cannot be read back as they were confirmed.
    async fn missing(&self, api: &Api, confirmed: &[Order]) -> anyhow::Result<usize> {
        let mut recorded: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
        for buyer in &self.buyers {
            recorded
                .extend(api.orders(*buyer).await?.into_iter().map(|order| (order.id, sorted(order.items))));
        }
        let missing =
            confirmed.iter().filter(|order| recorded.get(&order.id) != Some(&sorted(order.items.clone())));
        Ok(missing.count())
    }
}

/// Whether the order has the products of the cart, in the quantities asked for.
fn is_of(order: &Order, cart: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Cart {
        items: Vec<OrderItem>,
    }
    let cart: Cart = serde_json::from_slice(cart).expect("the cart was made here");
    sorted(order.items.clone()) == sorted(cart.items)
}

fn sorted(mut items: Vec<OrderItem>) -> Vec<OrderItem> {
    items.sort();
    items
}
