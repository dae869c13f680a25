//! What is promised, and how fast a promise may be used up.
//!
//! A threshold on a dashboard, a recording rule and an alert all take their number from here.

/// Checkouts that are answered, as a share: 201 and 409 are answers, a 5xx is none.
///
/// Three nines: in a sale of 300 checkouts a second, that is one lost buyer in three seconds. A fourth nine would be spent by
/// one restart a month.
pub const CHECKOUT_AVAILABILITY: f64 = 0.999;

/// Checkouts that are answered within [`CHECKOUT_LATENCY_SECONDS`], as a share.
pub const CHECKOUT_LATENCY: f64 = 0.99;

/// From here on, buyers notice that the button takes its time. It is an edge of the histogram's buckets, so the share is
/// counted and not interpolated.
pub const CHECKOUT_LATENCY_SECONDS: f64 = 0.25;

/// A p99 within this feels like no wait; the dashboards draw it for routes without an objective of their own.
pub const REQUEST_P99_SECONDS: f64 = 0.25;

/// More than this of a worker's time late, and every request of the server is late. An edge of the histogram's buckets.
pub const RUNTIME_LAG_SECONDS: f64 = 0.05;

/// A wait for a connection that is longer than most statements take means that the pool, not the database, is the limit.
pub const POOL_WAIT_SECONDS: f64 = 0.1;

/// Later than this, and the load generator measures itself: a round is then called invalid. An edge of the histogram's buckets.
pub const GENERATOR_LAG_SECONDS: f64 = 0.02;

/// What an objective leaves to be lost, as a share. Rounded, because 1 - 0.999 is not 0.001 to a computer.
pub fn budget(objective: f64) -> f64 {
    (1e6 * (1.0 - objective)).round() / 1e6
}

/// How fast an error budget may burn before somebody is told: table 5-8 of the SRE workbook, "Alerting on SLOs".
///
/// Each alert asks two windows: the long one says that the loss matters, the short one that it still goes on.
#[derive(Debug, Clone, Copy)]
pub struct Burn {
    /// The long window.
    pub long: &'static str,
    /// A twelfth of it.
    pub short: &'static str,
    /// Multiple of the rate that would spend a month's budget in a month.
    pub factor: f64,
    /// Share of the month's budget that is gone when the long window has seen this rate throughout.
    pub spent: &'static str,
    /// Whether somebody is woken.
    pub page: bool,
}

/// Two that page and one for the next working day.
pub const BURNS: [Burn; 3] = [
    Burn { long: "1h", short: "5m", factor: 14.4, spent: "2 %", page: true },
    Burn { long: "6h", short: "30m", factor: 6.0, spent: "5 %", page: true },
    Burn { long: "3d", short: "6h", factor: 1.0, spent: "10 %", page: false },
];
