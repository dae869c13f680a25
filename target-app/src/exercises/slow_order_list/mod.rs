//! Exercise `slow-order-list`: `GET /orders/{userId}` lists a user's orders with their items.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use crate::catalogue::symptoms::{CONNECTION_WAIT, REPEATED_STATEMENTS, slow_route, statements_per_request};
use crate::catalogue::{CONSTANT_STATEMENTS, CheckSpec, Exercise, KEEPS_CONTRACT, NO_FAILURES};
use crate::domain::money::Cents;
use crate::domain::orders::{self, Order, OrderItem, OrderPage};

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "slow-order-list",
    title: "Slow order list",
    symptom: "The more a customer has bought, the longer \"My orders\" takes to load, and the whole shop slows down with it.",
    cause: "A query per order and per item: the statements, and so the round trips, grow with the orders.",
    routes: &["GET /orders/{userId}", "GET /products/{id}"],
    headline: "list",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "lists-right",
            "A list contains every order that was confirmed before it was requested, as it was confirmed, newest first.",
        ),
        CONSTANT_STATEMENTS,
        CheckSpec::objective("list-p99", "99 of 100 lists of 120 orders are answered within 10 ms."),
        CheckSpec::objective(
            "product-p99",
            "99 of 100 product pages are answered within 10 ms while lists are requested.",
        ),
        NO_FAILURES,
    ],
    signals: &[statements_per_request!("/orders/{userId}", 10.0), REPEATED_STATEMENTS, CONNECTION_WAIT],
    alert: slow_route!(
        "StampedeSlowOrderList",
        "/orders/{userId}",
        "The list of a customer's orders is slow",
        "One in twenty customers who open their orders on variant {{ $labels.variant }} waits for more than 0.1 s, and other pages \
         may wait with them. Look at which customers are affected and what they have in common."
    ),
    metrics: &[],
    data_gauge: None,
};

mod buggy;
mod cached;
#[cfg(feature = "corpus")]
mod corpus;
mod fixed;
mod parallel;

variants! {
    Buggy    "buggy"    buggy    Buggy    "Looks up the items of each order, and the product of each item." ["constant-statements"]
    Parallel "parallel" parallel Tempting "The same look-ups, at the same time." ["constant-statements"]
    Cached   "cached"   cached   Tempting "The same look-ups, their result kept for ten seconds." ["keeps-contract" "lists-right"]
    Fixed    "fixed"    fixed    Fixed    "One statement for the orders, one for all their items." []
}

/// The order lists as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// What the variant that caches has made.
    lists: cached::Lists,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, lists: cached::lists() }
    }

    /// A page of the user's orders with their items.
    pub async fn list(&self, pool: &PgPool, user: Uuid, page: OrderPage) -> sqlx::Result<Vec<Order>> {
        match self.variant {
            Variant::Buggy => buggy::list(pool, user, page).await,
            Variant::Parallel => parallel::list(pool, user, page).await,
            Variant::Cached => cached::list(&self.lists, pool, user, page).await,
            Variant::Fixed => fixed::list(pool, user, page).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::list(solution, pool, user, page).await,
        }
    }
}

/// One line of an order, without the product's name.
#[derive(sqlx::FromRow)]
struct Line {
    product_id: Uuid,
    quantity: i32,
    unit_price_cents: Cents,
}

impl Line {
    fn called(self, name: String) -> OrderItem {
        let Line { product_id, quantity, unit_price_cents } = self;
        OrderItem { product_id, name, quantity, unit_price: unit_price_cents }
    }
}

async fn lines_of(pool: &PgPool, order: Uuid) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(
        "SELECT product_id, quantity, unit_price_cents FROM order_items WHERE order_id = $1 ORDER BY product_id",
    )
    .bind(order)
    .fetch_all(pool)
    .await
}

async fn product_name(pool: &PgPool, product: Uuid) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT name FROM products WHERE id = $1").bind(product).fetch_one(pool).await
}
