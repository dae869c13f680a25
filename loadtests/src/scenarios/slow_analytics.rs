//! `slow-analytics`: managers look at the analytics while guests read the menu.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use futures::future::{BoxFuture, FutureExt};
use rand_pcg::Pcg64;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use target_app::catalogue::Exercise;
use target_app::exercises::slow_analytics::EXERCISE;
use uuid::Uuid;

use super::{Audit, Findings, Shape, allowance, check, ms, no_failures, signal};
use crate::api::Api;
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
            let mut figures = Vec::new();
            for restaurant in &restaurants {
                figures.push((restaurant.id, sum_up(api, restaurant.id).await?));
            }
            figures.sort_by_key(|(id, figures)| (-figures.orders, *id));
            let Some((busy, expected)) = figures.first() else {
                bail!("tenant {TENANT} has no restaurant; the server needs the seeded data");
            };

            let growth = match figures.last() {
                Some((quiet, few)) if api.counts_statements() && few.orders < expected.orders => {
                    Some(Growth {
                        few: (few.orders, statements(api, *quiet).await?),
                        many: (expected.orders, statements(api, *busy).await?),
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

/// Statements that one analytics request takes.
async fn statements(api: &Api, restaurant: Uuid) -> anyhow::Result<f64> {
    let before = api.statements(ROUTE).await?;
    api.bytes(&format!("/restaurants/{restaurant}/analytics"), Some(TENANT)).await?;
    let after = api.statements(ROUTE).await?;
    if after.1 - before.1 != 1.0 {
        bail!("one analytics request was counted {} times on the operator port", after.1 - before.1);
    }
    Ok(after.0 - before.0)
}

/// The figures that analytics must show, summed up from the orders one by one.
async fn sum_up(api: &Api, restaurant: Uuid) -> anyhow::Result<Figures> {
    let mut orders = 0;
    let mut revenue = 0;
    let mut sold: HashMap<Uuid, i64> = HashMap::new();
    for page in 1.. {
        let path = format!("/restaurants/{restaurant}/orders?page={page}&limit=100");
        let page: MealPage = api.get(&path, Some(TENANT)).await?;
        for meal in page.orders.iter().filter(|meal| meal.status != "cancelled") {
            orders += 1;
            revenue += cents(meal.total);
            for item in &meal.items {
                *sold.entry(item.menu_item_id).or_default() += item.quantity;
            }
        }
        if page.orders.len() < 100 {
            break;
        }
    }
    let best = sold
        .into_iter()
        .map(|(id, quantity)| (quantity, id))
        .max_by_key(|(quantity, id)| (*quantity, std::cmp::Reverse(*id)));
    Ok(Figures { orders, revenue, best: best.map(|(quantity, id)| (id, quantity)) })
}

fn cents(units: f64) -> i64 {
    (units * 100.0).round() as i64
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
struct Figures {
    orders: i64,
    /// In cents.
    revenue: i64,
    /// The dish sold most often, and how often.
    best: Option<(Uuid, i64)>,
}

/// Orders and the statements that one request over them takes, for a quiet and for a busy restaurant.
struct Growth {
    few: (i64, f64),
    many: (i64, f64),
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
    status: String,
    total: f64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    menu_item_id: Uuid,
    quantity: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analytics {
    total_orders: i64,
    total_revenue: f64,
    top_items: Vec<Item>,
}

struct Round {
    tickets: Vec<Ticket>,
    rate: f64,
    expected: Figures,
    growth: Option<Growth>,
}

impl super::Round for Round {
    fn describe(&self) -> String {
        format!(
            "Poisson arrivals on one server: {:.0} analytics requests a second for a restaurant of {} orders, and {:.0} for its menu",
            self.rate,
            self.expected.orders,
            self.rate * MENUS,
        )
    }

    fn tickets(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
    }

    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Outcome {
        match (request.name, answer.status) {
            ("analytics", 200) => match serde_json::from_slice::<Analytics>(answer.body) {
                Ok(seen) if Figures::of(&seen) == self.expected => Outcome::Ok,
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
                format!("{} orders, revenue {}", self.expected.orders, self.expected.revenue as f64 / 100.0),
                match wrong + right {
                    0 => "no answer to compare".into(),
                    answers => format!("{wrong} of {answers} answers differ"),
                },
            ));
            let mut sentence = format!("{right} of {} answers right", load.response("analytics").len());
            if let Some(Growth { few, many }) = &self.growth {
                let story = format!("{} statements for {} orders, {} for {}", many.1, many.0, few.1, few.0);
                findings.checks.push(check(
                    &EXERCISE,
                    "constant-statements",
                    many.1 <= few.1,
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

impl Figures {
    fn of(seen: &Analytics) -> Self {
        Figures {
            orders: seen.total_orders,
            revenue: cents(seen.total_revenue),
            best: seen.top_items.first().map(|item| (item.menu_item_id, item.quantity)),
        }
    }
}
