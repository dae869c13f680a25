//! Exercise `slow-analytics`: `GET /restaurants/{id}/analytics` sums up a restaurant's orders.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::catalogue::symptoms::{CONNECTION_WAIT, REPEATED_STATEMENTS, slow_route, statements_per_request};
use crate::catalogue::{CONSTANT_STATEMENTS, CheckSpec, Exercise, KEEPS_CONTRACT, NO_FAILURES};
use crate::domain::money::Cents;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "slow-analytics",
    title: "Slow analytics",
    symptom: "The analytics page of a busy restaurant takes longer with every order, and the menu waits for it.",
    cause: "A query per order and per item: the statements, and so the round trips, grow with the data.",
    routes: &["GET /restaurants/{id}/analytics", "GET /restaurants/{id}/menu"],
    headline: "analytics",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "totals-right",
            "Orders, revenue, average and the five best sellers equal a sum over the orders, and a confirmed order is in the next response.",
        ),
        CONSTANT_STATEMENTS,
        CheckSpec::objective("analytics-p99", "99 of 100 analytics requests are answered within 10 ms."),
        CheckSpec::objective(
            "menu-p99",
            "99 of 100 menu requests are answered within 10 ms while analytics are requested.",
        ),
        NO_FAILURES,
    ],
    signals: &[
        statements_per_request!("/restaurants/{id}/analytics", 10.0),
        REPEATED_STATEMENTS,
        CONNECTION_WAIT,
    ],
    alert: slow_route!(
        "StampedeSlowAnalytics",
        "/restaurants/{id}/analytics",
        "The analytics page is slow",
        "One in twenty managers who open the analytics of variant {{ $labels.variant }} waits for more than 0.1 s, and the menu \
         may wait with them. Look at which restaurants are slow and what they have in common."
    ),
    metrics: &[],
    data_gauge: None,
};

mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod fixed;
mod parallel;

variants! {
    Buggy    "buggy"    buggy    Buggy    "Walks the orders and looks up the items of each." ["constant-statements"]
    Parallel "parallel" parallel Tempting "The same look-ups, all at once." ["constant-statements"]
    Fixed    "fixed"    fixed    Fixed    "One grouped statement." []
}

/// The analytics as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant }
    }

    /// Sums up all orders of the restaurant.
    pub async fn analytics(&self, pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Analytics> {
        match self.variant {
            Variant::Buggy => buggy::analytics(pool, restaurant).await,
            Variant::Parallel => parallel::analytics(pool, restaurant).await,
            Variant::Fixed => fixed::analytics(pool, restaurant).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::analytics(solution, pool, restaurant).await,
        }
    }
}

/// How many best sellers are listed.
pub const TOP_ITEMS: usize = 5;

/// A restaurant's orders, summed up.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analytics {
    /// Orders that were not cancelled.
    pub total_orders: i64,
    /// What they came to.
    pub total_revenue: Cents,
    /// Revenue by orders, rounded down to a cent; 0 without orders.
    pub average_order_value: Cents,
    /// The five dishes sold most often; of two sold equally often, the one with the smaller id comes first.
    pub top_items: Vec<TopItem>,
}

/// A dish and how it sold.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopItem {
    /// Which dish.
    pub menu_item_id: Uuid,
    /// Its name.
    pub name: String,
    /// Portions sold.
    pub quantity: i64,
    /// What they came to.
    pub revenue: Cents,
}

impl Analytics {
    fn new(total_orders: i64, total_revenue: Cents, mut top_items: Vec<TopItem>) -> Self {
        top_items.sort_by_key(|item| (-item.quantity, item.menu_item_id));
        top_items.truncate(TOP_ITEMS);
        Analytics {
            total_orders,
            total_revenue,
            average_order_value: Cents(total_revenue.0 / total_orders.max(1)),
            top_items,
        }
    }
}

/// An order that counts.
#[derive(sqlx::FromRow)]
struct Placed {
    id: Uuid,
    total_cents: Cents,
}

/// One line of an order.
#[derive(Clone, sqlx::FromRow)]
struct Line {
    menu_item_id: Uuid,
    quantity: i32,
    unit_price_cents: Cents,
}

async fn orders_of(pool: &PgPool, restaurant: Uuid) -> sqlx::Result<Vec<Placed>> {
    sqlx::query_as(
        "SELECT id, total_cents FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled'",
    )
    .bind(restaurant)
    .fetch_all(pool)
    .await
}

async fn lines_of(pool: &PgPool, order: Uuid) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(
        "SELECT menu_item_id, quantity, unit_price_cents FROM restaurant_order_items WHERE order_id = $1",
    )
    .bind(order)
    .fetch_all(pool)
    .await
}

async fn dish_name(pool: &PgPool, dish: Uuid) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT name FROM menu_items WHERE id = $1").bind(dish).fetch_one(pool).await
}

/// Adds a line to the figures of its dish.
fn count(items: &mut HashMap<Uuid, TopItem>, line: &Line, name: String) {
    let item = items.entry(line.menu_item_id).or_insert(TopItem {
        menu_item_id: line.menu_item_id,
        name,
        quantity: 0,
        revenue: Cents(0),
    });
    item.quantity += i64::from(line.quantity);
    item.revenue.0 += line.unit_price_cents.times(line.quantity).0;
}
