//! Exercise `sale-meltdown`: `POST /sales/{id}/reservations` reserves a piece and has the buyer notified.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sqlx::PgPool;
use uuid::Uuid;

use crate::catalogue::symptoms::slow_route;
use crate::catalogue::{CheckSpec, Exercise, KEEPS_CONTRACT, Signal};
use crate::domain::sales::{self, OpenSale, Reservation, ReserveError};
use crate::error::ApiError;
use crate::providers::{CallError, Mail, Providers};
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "sale-meltdown",
    title: "Sale meltdown",
    symptom: "When a sale opens, buyers wait for seconds for their reservation, and some are told to come back later.",
    cause: "A reservation locks the sale until its confirmation mail is sent. Everybody else waits for that mail, and for the next one, one \
            after the other.",
    routes: &["POST /sales/{id}/reservations"],
    headline: "spike",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "reserved-within-stock",
            "Across all servers, no more reservations are held than there are pieces.",
        ),
        CheckSpec::invariant(
            "reservations-recorded",
            "Every acknowledged reservation can be read by its buyer, no buyer has two, and no buyer waits while a piece is free.",
        ),
        CheckSpec::invariant(
            "buyers-notified",
            "Every held reservation gets exactly one confirmation, even if a server is killed.",
        ),
        CheckSpec::invariant(
            "first-come-first-served",
            "A piece that is given back or whose hold has expired goes to the buyer who has waited longest.",
        ),
        CheckSpec::objective(
            "spike-p99",
            "At the spike, 99 of 100 reservations are acknowledged within 200 ms.",
        ),
        CheckSpec::objective(
            "only-clean-answers",
            "Every request is acknowledged with 202, whether the reservation is held or waits.",
        ),
        CheckSpec::objective(
            "recovers",
            "After the spike, every buyer who was cut off gets a reservation within five seconds.",
        ),
    ],
    signals: &[
        Signal {
            title: "Reservations acknowledged, p99",
            description: "Time until a buyer has an answer. At a spike, it grows where each reservation waits for the one before.",
            promql: r#"histogram_quantile(0.99, sum by (variant, le) (rate(http_server_request_duration_seconds_bucket{$scope, http_route="/sales/{id}/reservations"}[$window])))"#,
            unit: "s",
            limit: Some(0.2),
        },
        Signal {
            title: "Reservations by outcome",
            description: "Requests for a reservation that is held now, that waits, or that was refused or failed.",
            promql: "sum by (variant, outcome) (rate(stampede_reservations_total{$scope}[$window]))",
            unit: "reqps",
            limit: None,
        },
        Signal {
            title: "Requests waiting for a connection",
            description: "Requests that wait at a time, on average over the last 2 s. A wait is counted when it ends.",
            promql: "sum by (variant) (db_client_connection_pending_requests{$scope})",
            unit: "short",
            limit: None,
        },
    ],
    alert: slow_route!(
        "StampedeSaleMeltdown",
        "/sales/{id}/reservations",
        "Reservations are slow",
        "One in twenty buyers of variant {{ $labels.variant }} waits for more than 0.1 s to have a reservation acknowledged. Look at what a \
         reservation does while it holds a lock that the others need."
    ),
    metrics: &[&RESERVATIONS],
    data_gauge: None,
};

/// Reservations by what became of them.
pub static RESERVATIONS: MetricSpec = MetricSpec::counter(
    "stampede_reservations_total",
    &["outcome"],
    "reservations",
    "Requests for a reservation: held, waiting, refused or failed",
);

mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod fixed;
mod global_lock;
mod memory_counter;

variants! {
    Buggy         "buggy"          buggy          Buggy    "Locks the sale, reserves, sends the confirmation and commits." ["spike-p99"]
    GlobalLock    "global-lock"    global_lock    Tempting "Serves one buyer at a time, and has the confirmation sent later." ["spike-p99"]
    MemoryCounter "memory-counter" memory_counter Tempting "Counts what is left in memory, and writes it down later." ["keeps-contract" "reserved-within-stock"]
    Fixed         "fixed"          fixed          Fixed    "Takes a permit and writes the reservation down in one statement. The mail is a job." []
}

/// The reservations as a server makes them.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
    /// What is left of each sale, where the process counts it.
    counters: Counters,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant, counters: Counters::default() }
    }

    /// Reserves a piece for a buyer, or adds the buyer to the waiting list. A buyer who already has a reservation gets that one.
    pub async fn reserve(&self, desk: &Desk<'_>, sale: Uuid, buyer: Uuid) -> Result<Reservation, SaleError> {
        match self.variant {
            Variant::Buggy => buggy::reserve(desk, sale, buyer).await,
            Variant::GlobalLock => global_lock::reserve(desk, sale, buyer).await,
            Variant::MemoryCounter => memory_counter::reserve(&self.counters, desk, sale, buyer).await,
            Variant::Fixed => fixed::reserve(desk, sale, buyer).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::reserve(solution, desk, sale, buyer).await,
        }
    }
}

/// What is left of each sale, as a process counts it.
#[derive(Debug, Default)]
pub struct Counters(Mutex<HashMap<Uuid, i64>>);

impl Counters {
    /// Takes a permit, if there is one.
    fn take(&self, sale: &OpenSale) -> bool {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counters.entry(sale.id).or_insert(sale.available);
        let is_left = *left > 0;
        *left -= i64::from(is_left);
        is_left
    }

    /// Gives one back.
    fn give_back(&self, sale: &OpenSale) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(sale.id).or_default() += 1;
    }
}

/// What a reservation needs.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// Connections to the database.
    pub pool: &'a PgPool,
    /// Where confirmations are sent.
    pub providers: &'a Providers,
}

impl Desk<'_> {
    /// Has the buyer told that a piece is held. Sent again, it arrives once.
    async fn confirm(&self, reservation: &Reservation) -> Result<(), CallError> {
        self.providers.send_mail(&reservation.id.to_string(), &confirmation(reservation.id)).await
    }
}

/// The mail to whoever has this reservation. Its address is the reservation: the gateway knows whose it is.
pub fn confirmation(reservation: Uuid) -> Mail {
    Mail {
        to: reservation.to_string(),
        subject: "A piece is held for you".into(),
        text: format!("Pay reservation {reservation} before its time is over."),
    }
}

/// Why there is no reservation.
#[derive(Debug, thiserror::Error)]
pub enum SaleError {
    /// There is none to be had.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The confirmation was not sent.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<SaleError> for ApiError {
    fn from(error: SaleError) -> Self {
        match error {
            SaleError::Reserve(error) => error.into(),
            SaleError::Database(error) => error.into(),
            SaleError::Call(CallError::Refused { .. }) => ApiError::Internal(error.into()),
            SaleError::Call(_) => {
                ApiError::Busy { message: format!("{error}; ask for the reservation again"), retry_after: 1 }
            }
        }
    }
}

/// What became of a request, as [`RESERVATIONS`] counts it.
pub fn outcome(reserved: &Result<Reservation, SaleError>) -> &'static str {
    match reserved {
        Ok(reservation) if reservation.status == "waiting" => "waiting",
        Ok(_) => "held",
        Err(SaleError::Reserve(ReserveError::UnknownSale(_) | ReserveError::NotOpen(_))) => "refused",
        Err(_) => "failed",
    }
}
