//! `slow-analytics`: managers look at the analytics while guests read the menu.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use futures::future::{BoxFuture, FutureExt};
use rand_pcg::Pcg64;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use target_app::catalogue::Exercise;
use target_app::domain::money::Cents;
use target_app::exercises::slow_analytics::{EXERCISE, TOP_ITEMS};
use uuid::Uuid;

use super::{Audit, Findings, Shape, allowance, check, ms, no_failures, signal};
use crate::api::{Api, is_timeout};
use crate::load::{Answer, Load, Outcome, Request, Ticket, arrivals, status_reason};

const TENANT: &str = "tenant-1";
const ROUTE: &str = "/restaurants/{id}/analytics";
/// Analytics requests a second.
const RATE: f64 = 40.0;
/// Menu requests for each of analytics.
const MENUS: f64 = 2.0;
/// What the two objectives allow.
const LIMIT_US: u64 = 10_000;

pub struct Scenario;

impl super::Scenario for Scenario {
    fn exercise(&self) -> &'static Exercise {
        &EXERCISE
    }

    fn headline(&self) -> &'static str {
        "analytics"
    }

    fn shape(&self) -> Shape {
        Shape { rate: None, duration: Duration::from_millis(3_000), replicas: 1 }
    }

    fn total_rate(&self, rate: Option<f64>) -> f64 {
        rate.unwrap_or(RATE) * (1.0 + MENUS)
    }

    fn needs(&self) -> &'static [(&'static str, u64)] {
        &[("analytics", 50), ("menu", 50)]
    }

    fn limits(&self) -> &'static [Duration] {
        const { &[Duration::from_micros(LIMIT_US)] }
    }

    fn prepare<'a>(
        &'a self,
        api: &'a Api,
        shape: &'a Shape,
        mut rng: Pcg64,
    ) -> BoxFuture<'a, anyhow::Result<Box<dyn super::Round>>> {
        async move {
            let restaurants: Vec<Restaurant> = api.get("/restaurants", Some(TENANT)).await?;
            let mut sums = Vec::new();
            for restaurant in &restaurants {
                sums.push((restaurant.id, sum_up(api, restaurant.id).await?));
            }
            sums.sort_by_key(|(id, sums)| (-sums.total_orders, *id));
            let Some((busy, expected)) = sums.first().filter(|(_, sums)| sums.total_orders > 0) else {
                bail!("tenant {TENANT} has no restaurant with orders; the server needs the seeded data");
            };

            let growth = match sums.last() {
                Some((quiet, few)) if api.counts_statements() && few.total_orders < expected.total_orders => {
                    let (of_few, _) = statements(api, *quiet).await?;
                    let (of_many, in_time) = statements(api, *busy).await?;
                    Some(Growth {
                        few: (few.total_orders, of_few),
                        many: (expected.total_orders, of_many),
                        in_time,
                    })
                }
                _ => None,
            };

            let rate = shape.rate.unwrap_or(RATE);
            let tenant = vec![(HeaderName::from_static("x-tenant-id"), HeaderValue::from_static(TENANT))];
            let mut tickets = Vec::new();
            for (name, rate) in [("analytics", rate), ("menu", rate * MENUS)] {
                for at in arrivals::poisson(&mut rng, rate, shape.duration) {
                    let request = Request::get(name, format!("/restaurants/{busy}/{name}"));
                    tickets.push(Ticket { at, request: Request { headers: tenant.clone(), ..request } });
                }
            }
            Ok(Box::new(Round { tickets, rate, expected: expected.clone(), growth }) as Box<dyn super::Round>)
        }
        .boxed()
    }

    fn objectives(&self, load: &Load) -> Findings {
        let p99 = |name| load.response(name).value_at_quantile(0.99);
        let within = |check_name, name| {
            let expected =
                format!("p99 at most {}, and {} for late wake-ups", ms(LIMIT_US), ms(allowance(load)));
            let held = p99(name) <= LIMIT_US + allowance(load);
            check(&EXERCISE, check_name, held, expected, format!("p99 {}", ms(p99(name))))
        };
        let limit = Some(LIMIT_US as f64 / 1000.0);
        Findings {
            checks: vec![
                within("analytics-p99", "analytics"),
                within("menu-p99", "menu"),
                no_failures(&EXERCISE, "no-failures", "every request is answered with 200", load),
            ],
            signals: vec![signal("menu p99 beside analytics", p99("menu") as f64 / 1000.0, "ms", limit)],
        }
    }
}

/// Statements that one analytics request takes, and whether it was answered: else, those until nobody waited any more.
async fn statements(api: &Api, restaurant: Uuid) -> anyhow::Result<(f64, bool)> {
    let before = api.statements(ROUTE).await?;
    let answered = api.bytes(&format!("/restaurants/{restaurant}/analytics"), Some(TENANT)).await;
    let in_time = match answered {
        Ok(_) => true,
        Err(error) if is_timeout(&error) => {
            // The server notices soon that nobody is there any more, and counts what it asked until then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            false
        }
        Err(error) => return Err(error),
    };
    let after = api.statements(ROUTE).await?;
    if after.1 - before.1 != 1.0 {
        bail!("one analytics request was counted {} times on the operator port", after.1 - before.1);
    }
    Ok((after.0 - before.0, in_time))
}

/// What the analytics must say, summed up from the orders one by one.
async fn sum_up(api: &Api, restaurant: Uuid) -> anyhow::Result<Analytics> {
    let menu: Vec<Dish> = api.get(&format!("/restaurants/{restaurant}/menu"), Some(TENANT)).await?;
    let mut sums = Analytics::default();
    let mut sold: HashMap<Uuid, TopItem> = menu
        .into_iter()
        .map(|Dish { id, name }| (id, TopItem { menu_item_id: id, name, ..TopItem::default() }))
        .collect();
    let mut before = None;
    for page in 1.. {
        let path = format!("/restaurants/{restaurant}/orders?page={page}&limit=100");
        let page: MealPage = api.get(&path, Some(TENANT)).await?;
        let first = page.orders.first().map(|meal| meal.id);
        if first.is_some() && first == std::mem::replace(&mut before, first) {
            bail!("GET {path} answered with the page before it");
        }
        for meal in page.orders.iter().filter(|meal| meal.status != "cancelled") {
            sums.total_orders += 1;
            sums.total_revenue.0 = sums.total_revenue.0.saturating_add(meal.total.0);
            for line in &meal.items {
                let item = sold.entry(line.menu_item_id).or_default();
                item.quantity += i64::from(line.quantity);
                item.revenue.0 =
                    item.revenue.0.saturating_add(line.unit_price.0.saturating_mul(line.quantity.into()));
            }
        }
        if page.orders.len() < 100 {
            break;
        }
    }
    sums.average_order_value = sums.total_revenue.0 as f64 / 100.0 / sums.total_orders.max(1) as f64;
    sums.top_items = sold.into_values().filter(|item| item.quantity > 0).collect();
    sums.top_items.sort_by_key(|item| (-item.quantity, item.menu_item_id));
    sums.top_items.truncate(TOP_ITEMS);
    Ok(sums)
}

/// Orders and the statements that one request over them takes, for a quiet and for a busy restaurant.
struct Growth {
    few: (i64, f64),
    many: (i64, f64),
    /// Whether the busy restaurant's was answered; else it would have taken more.
    in_time: bool,
}

#[derive(Deserialize)]
struct Restaurant {
    id: Uuid,
}

#[derive(Deserialize)]
struct MealPage {
    orders: Vec<Meal>,
}

#[derive(Deserialize)]
struct Meal {
    id: Uuid,
    status: String,
    total: Cents,
    items: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    menu_item_id: Uuid,
    quantity: i32,
    unit_price: Cents,
}

#[derive(Deserialize)]
struct Dish {
    id: Uuid,
    name: String,
}

/// What a server says, and what it must say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analytics {
    total_orders: i64,
    total_revenue: Cents,
    /// In currency units.
    average_order_value: f64,
    top_items: Vec<TopItem>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopItem {
    menu_item_id: Uuid,
    name: String,
    quantity: i64,
    revenue: Cents,
}

impl Analytics {
    /// Whether they say the same, however the average was rounded to a cent.
    fn agrees(&self, other: &Self) -> bool {
        self.total_orders == other.total_orders
            && self.total_revenue == other.total_revenue
            && (self.average_order_value - other.average_order_value).abs() < 0.011
            && self.top_items == other.top_items
    }
}

struct Round {
    tickets: Vec<Ticket>,
    rate: f64,
    expected: Analytics,
    growth: Option<Growth>,
}

impl super::Round for Round {
    fn describe(&self, servers: &str) -> String {
        format!(
            "Poisson arrivals over {servers}: {:.0} analytics requests a second for a restaurant of {} orders, and {:.0} for its menu",
            self.rate,
            self.expected.total_orders,
            self.rate * MENUS,
        )
    }

    fn tickets(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match (request.name, answer.status) {
            ("analytics", 200) => match serde_json::from_slice::<Analytics>(answer.body) {
                Ok(seen) if seen.agrees(&self.expected) => Outcome::Ok,
                _ => Outcome::Failed("wrong-totals"),
            },
            (_, 200) => Outcome::Ok,
            (_, status) => Outcome::Failed(status_reason(status)),
        }
    }

    fn audit<'a>(&'a self, _: &'a Api, load: &'a Load) -> BoxFuture<'a, anyhow::Result<Audit>> {
        async move {
            let wrong = load.count("analytics", "wrong-totals");
            let right = load.count("analytics", "ok");
            let mut findings = Findings::default();
            findings.checks.push(check(
                &EXERCISE,
                "totals-right",
                wrong == 0 && right > 0,
                format!("{} orders, revenue {}", self.expected.total_orders, self.expected.total_revenue),
                match wrong + right {
                    0 => "no answer to compare".into(),
                    answers => format!("{wrong} of {answers} answers differ"),
                },
            ));
            let mut sentence = format!("{right} of {} answers right", load.response("analytics").len());
            if let Some(Growth { few, many, in_time }) = &self.growth {
                let more = if *in_time { "" } else { "more than " };
                let story =
                    format!("{more}{} statements for {} orders, {} for {}", many.1, many.0, few.1, few.0);
                findings.checks.push(check(
                    &EXERCISE,
                    "constant-statements",
                    *in_time && many.1 <= few.1,
                    format!("as many statements for {} orders as for {}", many.0, few.0),
                    story.clone(),
                ));
                findings.signals.push(signal("statements per analytics request", many.1, "statements", None));
                sentence = format!("{story}; {sentence}");
            }
            Ok(Audit { sentence, findings })
        }
        .boxed()
    }
}
