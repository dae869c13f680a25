//! `slow-analytics`: managers look at the analytics while guests read the menu and order.

mod contract;
mod sums;

use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand_pcg::Pcg64;
use reqwest::header::{HeaderName, HeaderValue};
use target_app::exercises::slow_analytics::EXERCISE;

use self::sums::{Analytics, Sums, average, ensure_right};
use super::{Clause, Shape, Spec, TIMEOUT};
use crate::api::Api;
use crate::checks::statements::Growth;
use crate::checks::{Audit, Findings, crowds, pages};
use crate::hint::Hinted;
use crate::load::{Answer, Load, Outcome, Request, Ticket, lock, status_reason};
use crate::restaurants::{self, Dish, Restaurant, TENANT};

/// Dishes that guests order when the load is over.
const DISHES: usize = 3;

pub struct Scenario;

impl super::Scenario for Scenario {
    const SPEC: &'static Spec = &Spec {
        exercise: &EXERCISE,
        shape: pages::SHAPE,
        total_rate: pages::total_rate,
        needs: &[("analytics", 50), ("menu", 50)],
        patience: TIMEOUT,
        // As the menu.
        reference_statements: 2,
        limits: pages::LIMITS,
        needs_schedule: false,
        server: &[],
        providers: false,
    };

    type Round = Round;

    async fn contract(api: &Api, clause: &mut Clause) -> anyhow::Result<()> {
        contract::check(api, clause).await
    }

    async fn prepare(api: &Api, shape: &Shape, mut rng: Pcg64) -> anyhow::Result<(Round, Vec<Ticket>)> {
        pages::restock(api).await?;
        let mut sums = sums::of_tenant(api).await?;
        if sums.len() < 2 || sums[0].1.orders == sums[1].1.orders || sums[1].1.orders == 0 {
            return Err(Hinted::unseeded(format!(
                "tenant {TENANT} has no two restaurants of different size"
            ))
            .into());
        }
        let long = contract::longest_list(api).await?;
        let counted = async |restaurant: Restaurant| {
            let seen: Analytics = restaurant.analytics(api).await?.with_status(200)?.json()?;
            Ok(seen.total_orders)
        };
        let growth = Growth::measure(api, counted(sums[1].0), counted(long)).await?;
        let quiet = sums[1].clone();
        let (busy, sums) = sums.swap_remove(0);
        // A best seller, so that each answer tells how many of it were sold.
        let sellers = sums.top_items();
        let dishes = sellers.iter().filter_map(|item| sums.menu.get(&item.menu_item_id));
        let dish =
            dishes.max_by_key(|dish| dish.inventory).context("the busiest restaurant has no best seller")?;
        let dish = dish.clone();

        let tenant = vec![(HeaderName::from_static("x-tenant-id"), HeaderValue::from_static(TENANT))];
        let get = |name| Request { headers: tenant.clone(), ..Request::get(name, busy.path(name)) };
        let order = restaurants::meal(&[(dish.id, 1)]).to_string();
        let order = Request { headers: tenant.clone(), ..Request::post("order", busy.path("orders"), order) };
        let tickets =
            pages::tickets(&mut rng, shape, &get("analytics"), &get("menu"), &order, dish.inventory)?;
        let round = Round {
            shape: *shape,
            busy,
            quiet,
            dish,
            sums,
            growth,
            ordered: Mutex::default(),
            seen: Mutex::default(),
        };
        Ok((round, tickets))
    }

    fn objectives(load: &Load) -> Findings {
        pages::objectives(&EXERCISE, load, "analytics", "menu")
    }
}

/// The analytics in an answer, and when they were asked for, from the start of the load.
struct Seen {
    analytics: Analytics,
    sent: Duration,
}

pub struct Round {
    shape: Shape,
    busy: Restaurant,
    /// A restaurant with few orders, which nobody asks for during the load.
    quiet: (Restaurant, Sums),
    /// What guests order during the load, one portion each, so that what the analytics must say depends on nothing but how
    /// many orders there were by then.
    dish: Dish,
    /// Before the load.
    sums: Sums,
    growth: Growth,
    /// When orders were confirmed, from the start of the load.
    ordered: Mutex<Vec<Duration>>,
    seen: Mutex<Vec<Seen>>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        let analytics = format!("analytics requests for a restaurant of {} orders", self.sums.orders);
        pages::describe(&self.shape, servers, &analytics, "for its menu", "new orders")
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match (request.name, answer.status) {
            ("order", 201) => {
                lock(&self.ordered).push(answer.done);
                Outcome::Ok
            }
            ("analytics" | pages::LEAVES, 200) => match serde_json::from_slice::<Analytics>(answer.body) {
                Ok(analytics) if self.is_of_some_moment(&analytics) => {
                    lock(&self.seen).push(Seen { analytics, sent: answer.sent });
                    Outcome::Ok
                }
                _ => Outcome::Failed(pages::WRONG),
            },
            (_, 200) => Outcome::Ok,
            (_, status) => Outcome::Failed(status_reason(status)),
        }
    }

    async fn audit(&self, api: &Api, load: &Load) -> anyhow::Result<Audit> {
        let afterwards = self.afterwards(api).await;
        let mut audit =
            pages::answers(&EXERCISE, "totals-right", load, "analytics", self.stale(), afterwards);
        self.growth.judge(&EXERCISE, "orders", "analytics request", &mut audit);
        Ok(audit)
    }
}

impl Round {
    /// Whether the analytics are right when the load is over: for guests who order and look at once, and for who looks then.
    async fn afterwards(&self, api: &Api) -> anyhow::Result<()> {
        crowds::leave(
            api,
            "LOCK TABLE restaurant_orders",
            || self.busy.analytics(api),
            self.ensure_complete(api),
        )
        .await?;

        // Each finds every order that was confirmed before, however many look meanwhile. What was not answered during the load
        // may have been ordered, so it is counted anew.
        let confirmed = AtomicI64::new(Sums::read(api, self.busy).await?.orders);
        let mut dishes: Vec<&Dish> = self.sums.menu.values().collect();
        dishes.sort_by_key(|dish| Reverse(dish.inventory));
        dishes.truncate(DISHES);
        let order_and_look = async |guest: usize| {
            let dish = dishes[guest % dishes.len()].id;
            self.busy.order(api, &[(dish, 1)]).await?.with_status(201)?;
            let least = confirmed.fetch_add(1, Ordering::SeqCst) + 1;
            let seen: Analytics = self.busy.analytics(api).await?.with_status(200)?.json()?;
            let counted = seen.total_orders;
            ensure!(
                counted >= least,
                "guests ordered at once, and of {least} confirmed orders {counted} were counted"
            );
            Ok(())
        };
        crowds::take_turns(order_and_look).await?;

        let (quiet, sums) = &self.quiet;
        crowds::all_at_once(api, Some("LOCK TABLE restaurant_orders"), |_| ensure_right(api, *quiet, sums))
            .await?;
        self.ensure_complete(api).await
    }

    /// Whether the analytics are those of all orders.
    async fn ensure_complete(&self, api: &Api) -> anyhow::Result<()> {
        ensure_right(api, self.busy, &Sums::read(api, self.busy).await?).await
    }

    /// What must be said when `more` orders of the load have been counted.
    fn after(&self, more: i64) -> Sums {
        let mut sums = self.sums.clone();
        sums.add(self.dish.price, [(self.dish.id, 1, self.dish.price)], more);
        sums
    }

    /// How many orders of the load are in each figure of an answer: those of one moment, or of moments next to each other,
    /// because a page may be put together from several statements.
    fn counted(&self, seen: &Analytics) -> Option<[i64; 3]> {
        let before = self.sums.analytics();
        let sold = |analytics: &Analytics| {
            analytics
                .top_items
                .iter()
                .find(|item| item.menu_item_id == self.dish.id)
                .map(|item| item.quantity)
        };
        let orders = seen.total_orders - before.total_orders;
        let revenue = (seen.total_revenue.0 - before.total_revenue.0).checked_div(self.dish.price.0);
        Some([orders, revenue.unwrap_or(orders), sold(seen)? - sold(&before)?])
    }

    /// Whether every figure is what it must be after some number of orders.
    fn is_of_some_moment(&self, seen: &Analytics) -> bool {
        let Some([orders, revenue, items]) = self.counted(seen) else { return false };
        let possible = [orders, revenue, items].iter().all(|more| (0..=1_000_000).contains(more));
        possible
            && seen.total_revenue == self.after(revenue).analytics().total_revenue
            && seen.top_items == self.after(items).top_items()
            && seen.average_order_value == average(seen.total_revenue.0, seen.total_orders)
    }

    /// Answers without an order that had been confirmed before they were asked for.
    fn stale(&self) -> usize {
        let ordered = lock(&self.ordered);
        let seen = lock(&self.seen);
        let stale = seen.iter().filter(|seen| {
            let confirmed = ordered.iter().filter(|done| **done < seen.sent).count() as i64;
            self.counted(&seen.analytics).is_none_or(|counted| counted.iter().any(|more| *more < confirmed))
        });
        stale.count()
    }
}
