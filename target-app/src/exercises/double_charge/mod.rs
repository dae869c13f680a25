//! Exercise `double-charge`: `POST /api/checkout` places an order and charges a card, once for each idempotency key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, OnceCell};

use super::oversold_stock::{self, CheckoutError};
use crate::catalogue::{Alert, CheckSpec, Exercise, KEEPS_CONTRACT, Series, Severity, Signal};
use crate::domain::checkouts::{self, Answer, Checkout};
use crate::domain::money::Cents;
use crate::domain::orders::{self, Order};
use crate::error::ApiError;
use crate::providers::{CallError, Card, Providers};
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "double-charge",
    title: "Double charge",
    symptom: "Customers who click twice, or whose app tries again after a timeout, get two orders and pay twice.",
    cause: "Nothing ties a repeated request to the first one: the idempotency key is ignored, so the checkout is done again.",
    routes: &["POST /api/checkout"],
    headline: "checkout",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "charged-once",
            "No key is charged twice, and nothing is charged without an order, even after the servers were killed during a checkout.",
        ),
        CheckSpec::invariant(
            "ordered-once",
            "Every key has exactly one order, which is paid, and the stock before − pieces in these orders = the stock after.",
        ),
        CheckSpec::invariant(
            "replays-identical",
            "Whoever sends a checkout again gets the response to the first one, from every server.",
        ),
        CheckSpec::objective(
            "only-clean-answers",
            "A checkout ends with 201, with 402 for a card that is declined, with 409 while another request with its key is under way, or with \
             503 and `Retry-After`.",
        ),
        CheckSpec::objective("checkout-p99", "99 of 100 checkouts are answered within 250 ms."),
        CheckSpec::objective(
            "recovers",
            "A checkout whose request was cut off can be completed with its key within five seconds, and keeps no other checkout waiting.",
        ),
    ],
    signals: &[
        Signal {
            title: "Repeated orders",
            description: "Paid orders that repeat another one of the same customer within ten seconds and belong to no key of their own. One is one too many.",
            promql: "max by (variant) (stampede_repeated_orders{$scope})",
            unit: "short",
            limit: Some(0.0),
        },
        Signal {
            title: "Checkouts by outcome",
            description: "Checkouts that were paid, declined, refused, or that another request was busy with. A response that is sent again counts as paid again.",
            promql: "sum by (variant, outcome) (rate(stampede_checkouts_total{$scope}[$window]))",
            unit: "reqps",
            limit: None,
        },
        Signal {
            title: "Calls of the payment provider",
            description: "Calls per second, by how they ended.",
            promql: r#"sum by (variant, outcome) (rate(http_client_request_duration_seconds_count{$scope, service="payment provider"}[$window]))"#,
            unit: "reqps",
            limit: None,
        },
    ],
    alert: Alert {
        name: "StampedeDoubleCharge",
        promql: "max by (variant) (stampede_repeated_orders{$scope})",
        unit: "short",
        above: 0.0,
        hold: Duration::ZERO,
        severity: Severity::Critical,
        summary: "Customers have paid for the same order more than once",
        description: "Within ten seconds, customers of variant {{ $labels.variant }} bought the same items again. Compare the payment \
                      provider's list of charges with the orders, and refund what was charged twice.",
        fires_on: &[Series::One(r#"stampede_repeated_orders{$scope, variant="buggy"}"#, "0x8 1 3x20")],
        silent_on: &[Series::One(r#"stampede_repeated_orders{$scope, variant="fixed"}"#, "0x30")],
    },
    metrics: &[&CHECKOUTS, &REPEATED_ORDERS],
    data_gauge: Some(data_gauge::start),
};

/// Checkouts by what became of them.
pub static CHECKOUTS: MetricSpec = MetricSpec::counter(
    "stampede_checkouts_total",
    &["outcome"],
    "checkouts",
    "Checkouts that were paid, declined, refused, or that another request was busy with",
);

/// Orders that were placed again.
pub static REPEATED_ORDERS: MetricSpec = MetricSpec::gauge(
    "stampede_repeated_orders",
    &[],
    "orders",
    "Paid orders since this server started that repeat another one of the same customer within ten seconds, without a key of their own",
);

mod buggy;
mod check_first;
#[cfg(feature = "corpus")]
mod corpus;
mod data_gauge;
mod fixed;
mod key_after;
mod remembered;

variants! {
    Buggy      "buggy"       buggy       Buggy    "Places the order, charges the card and marks the order as paid." ["keeps-contract" "charged-once" "ordered-once"]
    CheckFirst "check-first" check_first Tempting "Looks the key up and writes it down before it begins." ["charged-once" "recovers"]
    Remembered "remembered"  remembered  Tempting "Remembers each key and its response, and has repeated requests wait." ["keeps-contract" "charged-once" "ordered-once"]
    KeyAfter   "key-after"   key_after   Tempting "Writes the key and the response together with the payment." ["charged-once" "ordered-once"]
    Fixed      "fixed"       fixed       Fixed    "Claims the key together with the order; whoever comes later goes on with that order." []
}

/// The checkouts as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// The checkouts of each key, where the process remembers them.
    remembered: remembered::Checkouts,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, remembered: remembered::Checkouts::default() }
    }

    /// Places the order and pays it, unless that has been done for this key.
    pub async fn check_out(
        &self,
        shop: &Shop<'_>,
        key: &str,
        checkout: &Checkout,
    ) -> Result<Answer, KeyedError> {
        match self.variant {
            Variant::Buggy => buggy::check_out(shop, key, checkout).await,
            Variant::CheckFirst => check_first::check_out(shop, key, checkout).await,
            Variant::Remembered => remembered::check_out(&self.remembered, shop, key, checkout).await,
            Variant::KeyAfter => key_after::check_out(shop, key, checkout).await,
            Variant::Fixed => fixed::check_out(shop, key, checkout).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::check_out(solution, shop, key, checkout).await,
        }
    }
}

/// What a checkout needs.
#[derive(Debug, Clone, Copy)]
pub struct Shop<'a> {
    /// Connections to the database.
    pub pool: &'a PgPool,
    /// Where the card is charged.
    pub providers: &'a Providers,
}

impl Shop<'_> {
    /// Takes the products out of stock and writes a pending order, all of it or nothing.
    async fn place_order(&self, checkout: &Checkout) -> Result<Order, KeyedError> {
        Ok(oversold_stock::place_order(self.pool, &checkout.cart()).await?)
    }

    /// Charges the order's total. An order is charged once, however often this is called. Returns whether the card was accepted.
    async fn charge(&self, order: &Order, checkout: &Checkout) -> Result<bool, KeyedError> {
        if order.total == Cents(0) {
            return Ok(true);
        }
        let key = order.id.to_string();
        let card = Card {
            amount: order.total,
            payment_method: &checkout.payment_method,
            last4: &checkout.card_last4,
            reference: &key,
        };
        let charging = tokio::time::timeout(DEADLINE, self.providers.charge(&key, &card));
        Ok(charging.await.map_err(|_| KeyedError::NoAnswer)??.is_some())
    }
}

/// How long a charge may take.
const DEADLINE: Duration = Duration::from_millis(800);

/// Records what became of a charge: the order is paid, or cancelled and its pieces are back in stock.
async fn settle(db: &mut PgConnection, order: Order, accepted: bool) -> sqlx::Result<Answer> {
    if accepted {
        orders::mark_paid(db, order.id).await?;
        Ok(Answer::Paid(Order { status: "paid".into(), ..order }))
    } else {
        orders::cancel(db, order.id).await?;
        Ok(Answer::Declined)
    }
}

/// Why a checkout has no answer.
#[derive(Debug, thiserror::Error)]
pub enum KeyedError {
    /// Another request with this key is under way.
    #[error(
        "a checkout with this Idempotency-Key is under way; wait for it, or send it again a little later"
    )]
    UnderWay,
    /// The key belongs to another checkout.
    #[error("the Idempotency-Key was used for another checkout; take a new key for a new checkout")]
    OtherCheckout,
    /// The payment provider did not answer in time.
    #[error("the payment provider did not answer in time")]
    NoAnswer,
    /// It did not do what it should.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The order was not placed.
    #[error(transparent)]
    Order(#[from] CheckoutError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<KeyedError> for ApiError {
    fn from(error: KeyedError) -> Self {
        match error {
            KeyedError::UnderWay => ApiError::Conflict(error.to_string()),
            KeyedError::OtherCheckout => ApiError::Invalid(error.to_string()),
            KeyedError::Order(error) => error.into(),
            KeyedError::Database(error) => error.into(),
            KeyedError::Call(CallError::Refused { .. }) => ApiError::Internal(error.into()),
            KeyedError::Call(_) | KeyedError::NoAnswer => ApiError::Busy {
                message: format!("{error}; send the checkout again with the same Idempotency-Key"),
                retry_after: 1,
            },
        }
    }
}

/// What became of a checkout, as [`CHECKOUTS`] counts it.
pub fn outcome(answered: &Result<Answer, KeyedError>) -> &'static str {
    match answered {
        Ok(Answer::Paid(_)) => "paid",
        Ok(Answer::Declined) => "declined",
        Err(KeyedError::UnderWay) => "under-way",
        Err(_) => "refused",
    }
}
