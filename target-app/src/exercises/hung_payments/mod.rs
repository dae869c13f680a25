//! Exercise `hung-payments`: `POST /api/payments/process` asks the fraud check, charges the card and records the payment.

use std::time::Duration;

use sqlx::PgPool;

use crate::catalogue::symptoms::slow_route;
use crate::catalogue::{CheckSpec, Exercise, KEEPS_CONTRACT, Signal};
use crate::domain::payments::{self, BeginError, Outcome, Payment, PaymentRequest};
use crate::error::ApiError;
use crate::providers::{CallError, Card, Charge, Providers};
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "hung-payments",
    title: "Hung payments",
    symptom: "When the fraud check is slow, nothing in the shop is answered any more, not even the list of products.",
    cause: "A payment keeps a database connection, in an open transaction, while it waits for the fraud check and the payment provider. \
            A few slow payments have all connections.",
    routes: &["POST /api/payments/process", "GET /api/products"],
    headline: "product",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "payments-recorded",
            "Every order is charged once at most, and exactly the orders that were charged are paid, even after the server was killed \
             during a payment.",
        ),
        CheckSpec::objective(
            "products-p99",
            "While the fraud check is slow or does not answer, the p99 of product pages is at most twice the idle p99, or 10 ms.",
        ),
        CheckSpec::objective(
            "slow-payments-succeed",
            "While the fraud check takes 0.4 s, nine in ten payments succeed: refusing everything is no fix.",
        ),
        CheckSpec::objective(
            "only-clean-refusals",
            "Every payment ends within 2 s, with 201, with 402 for a card that is not accepted, with 409 while its order is being paid, or with \
             503 and `Retry-After`. One that needs no fraud check always succeeds.",
        ),
        CheckSpec::objective(
            "unanswered-payments",
            "While an outside service does not answer, a payment that needs it is refused within 2 s, however many come at once, and one \
             that does not need it succeeds.",
        ),
        CheckSpec::signal(
            "bounded-calls",
            "While an outside service does not answer, at most 64 calls wait for it, and product pages are answered, whatever arrives.",
        ),
        CheckSpec::objective("recovers", "Once the fraud check answers again, every order can be paid."),
    ],
    signals: &[
        Signal {
            title: "Time that a connection is in use, p95",
            description: "From getting a database connection to giving it back. On a healthy server it is a few statements long.",
            promql: "histogram_quantile(0.95, sum by (variant, le) (rate(db_client_connection_use_time_seconds_bucket{$scope}[$window])))",
            unit: "s",
            limit: Some(0.1),
        },
        Signal {
            title: "Calls waiting for an outside service",
            description: "Calls of each service that are not answered yet. A server whose calls have no bound waits with all that arrives.",
            promql: "sum by (variant, service) (http_client_active_requests{$scope})",
            unit: "short",
            limit: None,
        },
        Signal {
            title: "Payments by outcome",
            description: "Payments that succeeded, were declined, or were refused until later.",
            promql: "sum by (variant, outcome) (rate(stampede_payments_total{$scope}[$window]))",
            unit: "reqps",
            limit: None,
        },
    ],
    alert: slow_route!(
        "StampedeHungPayments",
        "/api/products",
        "The list of products is slow",
        "One in twenty customers who look at the products on variant {{ $labels.variant }} waits for more than 0.1 s. If other pages \
         are as slow, look at what all of them need, and at who has it."
    ),
    metrics: &[&PAYMENTS],
    data_gauge: None,
};

/// Payments by what became of them.
pub static PAYMENTS: MetricSpec = MetricSpec::counter(
    "stampede_payments_total",
    &["outcome"],
    "payments",
    "Payments that succeeded, were declined or were refused",
);

mod bigger_pool;
mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod fixed;
mod short_timeout;

variants! {
    Buggy        "buggy"         buggy         Buggy    "Begins, checks, charges and settles a payment in one transaction." ["products-p99" "payments-recorded" "bounded-calls"]
    BiggerPool   "bigger-pool"   bigger_pool   Tempting "The same, with eighty connections to the database." ["payments-recorded" "bounded-calls"]
    ShortTimeout "short-timeout" short_timeout Tempting "The same, given up after a quarter of a second." ["payments-recorded" "slow-payments-succeed"]
    Fixed        "fixed"         fixed         Fixed    "Records the payment, calls without a connection and within bounds, and records what came of it." []
}

impl Variant {
    /// Connections in the pool of a server that has this variant, where `configured` are asked for.
    pub fn connections(self, configured: u32) -> u32 {
        match self {
            Variant::BiggerPool => configured.max(bigger_pool::CONNECTIONS),
            _ => configured,
        }
    }
}

/// The payments as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// What bounds the calls, where anything does.
    guards: fixed::Guards,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, guards: fixed::Guards::default() }
    }

    /// Takes a payment for an order. It is settled when this returns; an order that was paid before is not charged again.
    pub async fn process(
        &self,
        pool: &PgPool,
        providers: &Providers,
        request: &PaymentRequest,
        screening: Screening,
    ) -> Result<Payment, PaymentError> {
        match self.variant {
            Variant::Buggy => buggy::process(pool, providers, request, screening).await,
            Variant::BiggerPool => bigger_pool::process(pool, providers, request, screening).await,
            Variant::ShortTimeout => short_timeout::process(pool, providers, request, screening).await,
            Variant::Fixed => fixed::process(&self.guards, pool, providers, request, screening).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::process(solution, pool, providers, request, screening).await,
        }
    }
}

/// Whether the fraud check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screening {
    /// Before the card is charged.
    FraudCheck,
    /// No.
    None,
}

/// Why a payment was not settled.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// It was not begun.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// An outside service did not do what it should.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It took too long.
    #[error("the payment takes too long")]
    TooLong,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<PaymentError> for ApiError {
    fn from(error: PaymentError) -> Self {
        let busy = |message: String| ApiError::Busy { message, retry_after: 1 };
        match error {
            PaymentError::Begin(BeginError::Database(error)) | PaymentError::Database(error) => error.into(),
            PaymentError::Begin(BeginError::UnknownOrder(_) | BeginError::WrongAmount { .. }) => {
                ApiError::Invalid(error.to_string())
            }
            PaymentError::Begin(_) => ApiError::Conflict(error.to_string()),
            PaymentError::Call(CallError::Refused { .. }) => ApiError::Internal(error.into()),
            PaymentError::Call(_) | PaymentError::TooLong => {
                busy(format!("{error}; send the payment again, and it is charged once"))
            }
        }
    }
}

/// What became of a payment, as [`PAYMENTS`] counts it.
pub fn outcome(processed: &Result<Payment, PaymentError>) -> &'static str {
    match processed {
        Ok(payment) if payment.status == "succeeded" => "succeeded",
        Ok(_) => "declined",
        Err(_) => "refused",
    }
}

/// The card of a payment, as the outside services see it: they find the payment by its order.
fn card<'a>(request: &'a PaymentRequest, order: &'a str) -> Card<'a> {
    Card {
        amount: request.amount,
        payment_method: &request.payment_method,
        last4: &request.card_last4,
        reference: order,
    }
}

fn settled_by(charge: Option<Charge>) -> Outcome {
    charge.map_or(Outcome::Declined, |charge| Outcome::Succeeded(charge.number))
}
