//! Exercise `skipped-in-line`: `DELETE /reservations/{id}` gives a piece back, and the buyer who has waited longest gets it.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::catalogue::{Alert, CheckSpec, Exercise, KEEPS_CONTRACT, Series, Severity, Signal};
use crate::domain::sales;
use crate::telemetry::MetricSpec;

/// What the catalogue says of this exercise.
pub static EXERCISE: Exercise = Exercise {
    id: "skipped-in-line",
    title: "Skipped in line",
    symptom: "Pieces are given back and nobody gets them, or a buyer who came later gets them first.",
    cause: "Two releases at the same moment read the same first buyer of the waiting list. Both give the piece to this buyer, so one piece is \
            lost.",
    routes: &["DELETE /reservations/{id}"],
    headline: "cancel",
    variants: Variant::ENTRIES,
    corpus: Variant::CORPUS,
    checks: &[
        KEEPS_CONTRACT,
        CheckSpec::invariant(
            "promoted-in-order",
            "No buyer gets a piece while another one who came earlier still waits.",
        ),
        CheckSpec::invariant(
            "each-piece-once",
            "Every piece that is given back goes to one buyer who waited. None is left over, and no buyer is promoted twice.",
        ),
        CheckSpec::invariant(
            "promoted-notified",
            "Every buyer who is promoted gets exactly one confirmation.",
        ),
        CheckSpec::objective("cancel-p99", "99 of 100 cancellations are answered within 100 ms."),
        CheckSpec::objective(
            "only-clean-answers",
            "Every cancellation is answered with 200, and every look at a reservation.",
        ),
        CheckSpec::objective("recovers", "Every buyer who was cut off can cancel within five seconds."),
    ],
    signals: &[
        Signal {
            title: "Stranded pieces",
            description: "Pieces that count as held although no reservation holds them. One is one too many.",
            promql: "max by (variant) (stampede_stranded_pieces{$scope})",
            unit: "short",
            limit: Some(0.0),
        },
        Signal {
            title: "Cancellations per second",
            description: "Reservations that buyers cancel, over all servers.",
            promql: r#"sum by (variant) (rate(http_server_request_duration_seconds_count{$scope, http_route="/reservations/{id}", http_request_method="DELETE"}[$window]))"#,
            unit: "reqps",
            limit: None,
        },
    ],
    alert: Alert {
        name: "StampedeSkippedInLine",
        promql: "max by (variant) (stampede_stranded_pieces{$scope})",
        unit: "short",
        above: 0.0,
        // Permits and reservations change together, so there is no moment at which they may differ.
        hold: Duration::ZERO,
        severity: Severity::Warning,
        summary: "Pieces of a sale are held by nobody",
        description: "Pieces of variant {{ $labels.variant }} count as held, but no buyer has them, so they will not be sold. Compare the sale's \
                      counts with its reservations, and look at what happens when two buyers cancel at once.",
        fires_on: &[Series::One(r#"stampede_stranded_pieces{$scope, variant="buggy"}"#, "0x8 1 3x20")],
        silent_on: &[Series::One(r#"stampede_stranded_pieces{$scope, variant="fixed"}"#, "0x30")],
    },
    metrics: &[&STRANDED_PIECES],
    data_gauge: Some(data_gauge::start),
};

/// Pieces that will not be sold.
pub static STRANDED_PIECES: MetricSpec = MetricSpec::gauge(
    "stampede_stranded_pieces",
    &[],
    "pieces",
    "Pieces in this database that count as held although no reservation holds them",
);

mod buggy;
#[cfg(feature = "corpus")]
mod corpus;
mod data_gauge;
mod fixed;
mod newest_first_retry;

variants! {
    Buggy            "buggy"              buggy              Buggy    "Reads who is first in line, and gives this buyer the piece." ["each-piece-once"]
    NewestFirstRetry "newest-first-retry" newest_first_retry Tempting "Whoever loses the race for the first in line takes the last." ["promoted-in-order"]
    Fixed            "fixed"              fixed              Fixed    "Locks the permits before it looks who is first in line." []
}

/// The waiting list as a server serves it.
#[derive(Debug)]
pub struct Service {
    variant: Variant,
}

impl Service {
    /// In this variant.
    pub fn new(variant: Variant) -> Self {
        Service { variant }
    }

    /// Gives a free piece of a sale to the buyer who has waited longest. Says whether a buyer got it.
    pub async fn pass_on(&self, pool: &PgPool, sale: Uuid) -> sqlx::Result<bool> {
        match self.variant {
            Variant::Buggy => buggy::pass_on(pool, sale).await,
            Variant::NewestFirstRetry => newest_first_retry::pass_on(pool, sale).await,
            Variant::Fixed => fixed::pass_on(pool, sale).await,
            #[cfg(feature = "corpus")]
            Variant::Corpus(solution) => corpus::pass_on(solution, pool, sale).await,
        }
    }
}

/// The number of free pieces of a sale.
async fn free(db: &mut PgConnection, sale: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT stock - held - paid FROM sale_permits WHERE sale_id = $1")
        .bind(sale)
        .fetch_one(db)
        .await
}

/// Which end of the waiting list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

/// The reservation at this end of a sale's waiting list.
async fn in_line(db: &mut PgConnection, sale: Uuid, end: End) -> sqlx::Result<Option<Uuid>> {
    let query = match end {
        End::First => {
            "SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket LIMIT 1"
        }
        End::Last => {
            "SELECT id FROM reservations WHERE sale_id = $1 AND status = 'waiting' ORDER BY ticket DESC LIMIT 1"
        }
    };
    sqlx::query_scalar(query).bind(sale).fetch_optional(db).await
}
