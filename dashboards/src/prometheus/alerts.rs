//! Every alert: one for each exercise's symptom, and those that any service needs.

use std::time::Duration;

use target_app::catalogue::{Series, Severity};
use target_app::exercises::EXERCISES;

use super::{TARGET_APP, checkout, generator, servers};
use crate::objectives::{
    BURNS, Burn, CHECKOUT_AVAILABILITY, CHECKOUT_LATENCY, CHECKOUT_LATENCY_SECONDS, GENERATOR_LAG_SECONDS,
    RUNTIME_LAG_SECONDS, budget,
};
use crate::promql;

/// An alerting rule, with worlds in which it must fire and must not.
#[derive(Debug, Clone)]
pub struct AlertRule {
    /// Shared by the rules of one promise; also the heading in the runbook.
    pub name: &'static str,
    /// Group in the rules file: its rules are evaluated one after another, at the same time.
    pub group: &'static str,
    /// The finished expression.
    pub expr: String,
    /// How long it must hold.
    pub hold: Duration,
    /// How urgent it is.
    pub severity: Severity,
    /// Further labels, which tell apart the rules of one name.
    pub labels: Vec<(&'static str, String)>,
    /// One line.
    pub summary: String,
    /// What it means and where to look.
    pub description: String,
    /// How it is tested; without one, it fires always.
    pub case: Option<Case>,
}

/// Worlds in which an alert fires and stays silent.
#[derive(Debug, Clone)]
pub struct Case {
    /// Between samples.
    pub step: &'static str,
    /// When it is looked at.
    pub at: &'static str,
    /// Series with which it fires.
    pub firing: Vec<(String, String)>,
    /// Series with which it does not.
    pub silent: Vec<(String, String)>,
    /// Labels that the firing alert has from its series.
    pub labels: Vec<(&'static str, &'static str)>,
}

impl Case {
    /// A world without a series.
    pub(super) const NO_DATA: Case =
        Case { step: "15s", at: "5m", firing: Vec::new(), silent: Vec::new(), labels: Vec::new() };

    /// Samples 15 s apart, looked at after five minutes, of series in the notation of the catalogue.
    fn new(scope: &promql::Scope, firing: &[Series], silent: &[Series]) -> Self {
        let fill = |series: &[Series]| {
            let samples = series.iter().flat_map(Series::samples);
            samples.map(|(selector, samples)| (scope.fill(&selector), samples.to_owned())).collect()
        };
        Case {
            step: "15s",
            at: "5m",
            firing: fill(firing),
            silent: fill(silent),
            labels: vec![("variant", "buggy")],
        }
    }
}

/// All of them, in the order of the rules file.
pub fn alerts() -> Vec<AlertRule> {
    std::iter::once(watchdog()).chain(symptoms()).chain(burns()).chain(saturation()).collect()
}

/// Fires always, so that its absence says that alerting does not work. It is in the group of the symptoms because its
/// samples then tell when those were evaluated.
fn watchdog() -> AlertRule {
    AlertRule {
        name: "StampedeWatchdog",
        group: "symptoms",
        expr: "vector(1)".into(),
        hold: Duration::ZERO,
        severity: Severity::Info,
        labels: Vec::new(),
        summary: "Alerting works".into(),
        description:
            "This alert fires always. Whoever receives alerts should complain when it does not arrive.".into(),
        case: None,
    }
}

/// One an exercise.
fn symptoms() -> impl Iterator<Item = AlertRule> {
    EXERCISES.iter().map(|exercise| {
        let alert = &exercise.alert;
        AlertRule {
            name: alert.name,
            group: "symptoms",
            expr: format!("{} > {}", servers().fill(alert.promql), alert.above),
            hold: alert.hold,
            severity: alert.severity,
            labels: Vec::new(),
            summary: alert.summary.into(),
            description: alert.description.into(),
            case: Some(Case::new(&servers(), alert.fires_on, alert.silent_on)),
        }
    })
}

/// For each promise about checkouts, one a window.
fn burns() -> impl Iterator<Item = AlertRule> {
    let promises = [
        (
            "StampedeCheckoutAvailabilityBurn",
            checkout::ERRORS,
            CHECKOUT_AVAILABILITY,
            "Checkouts end in an error too often".to_owned(),
        ),
        (
            "StampedeCheckoutLatencyBurn",
            checkout::SLOW,
            CHECKOUT_LATENCY,
            format!("Checkouts take longer than {CHECKOUT_LATENCY_SECONDS} s too often"),
        ),
    ];
    promises.into_iter().flat_map(|(name, ratio, objective, summary)| {
        BURNS.map(|burn| burn_alert(name, ratio, objective, &summary, burn))
    })
}

fn burn_alert(name: &'static str, ratio: &str, objective: f64, summary: &str, burn: Burn) -> AlertRule {
    let Burn { long, short, factor, spent, page } = burn;
    let limit = (1e6 * factor * budget(objective)).round() / 1e6;
    let series = |window, value: f64| {
        (format!(r#"{ratio}{window}{{job="{TARGET_APP}", variant="buggy"}}"#), format!("{value}x10"))
    };
    AlertRule {
        name,
        group: "burn-rates",
        expr: format!("{ratio}{long} > {limit} and {ratio}{short} > {limit}"),
        hold: Duration::ZERO,
        severity: if page { Severity::Critical } else { Severity::Warning },
        labels: vec![("window", long.into())],
        summary: summary.into(),
        description: format!(
            "At this rate, {spent} of a month's error budget is gone within {long}, for variant \
             {{{{ $labels.variant }}}}: more than {factor}× what the objective of {} % allows.",
            (1e4 * objective).round() / 1e2
        ),
        case: Some(Case {
            step: "1m",
            at: "5m",
            firing: vec![series(long, 2.0 * limit), series(short, 2.0 * limit)],
            // The loss is over: only the long window still remembers it.
            silent: vec![series(long, 2.0 * limit), series(short, 0.0)],
            labels: vec![("job", TARGET_APP), ("variant", "buggy")],
        }),
    }
}

fn saturation() -> impl Iterator<Item = AlertRule> {
    let lag = promql::quantile(0.99, "stampede_runtime_lag_seconds", "variant", &[]);
    let generator_lag =
        promql::quantile(0.99, "stampede_loadgen_timer_lag_seconds", "exercise, variant", &[]);
    // Seconds waited for in a second are requests that wait, on average.
    let waiting = promql::rate("db_client_connection_wait_time_seconds_sum", "variant", &[]);
    // A wait is known when it ends. This needs none to end.
    let all_used = r#"count by (variant) (sum by (variant, instance) (min_over_time(db_client_connections{$scope, state="used"}[$window])) >= sum by (variant, instance) (db_client_connection_max{$scope}))"#;
    let timeouts = promql::rate("db_client_connection_timeouts_total", "variant", &[]);
    [
        AlertRule {
            name: "StampedePoolExhausted",
            group: "saturation",
            expr: format!(
                "{} > 1 or {} > 0 or {} > 0",
                servers().fill(&waiting),
                servers().fill(&timeouts),
                servers().fill(all_used)
            ),
            hold: Duration::ZERO,
            severity: Severity::Warning,
            labels: Vec::new(),
            summary: "Requests wait for a database connection all the time".into(),
            description: "For a minute more than one request of variant {{ $labels.variant }} waited for a connection at a time, or one gave up, or no connection was ever free. \
                          Find out who holds connections, and for how long, before you make the pool larger."
                .into(),
            case: Some(Case::new(
                &servers(),
                &[Series::One(r#"db_client_connection_wait_time_seconds_sum{$scope, variant="buggy"}"#, "0+60x30")],
                // Every hand-over takes a few microseconds, and a busy pool has a connection free now and then.
                &[
                    Series::One(r#"db_client_connection_wait_time_seconds_sum{$scope, variant="buggy"}"#, "0+0.0005x30"),
                    Series::One(r#"db_client_connections{$scope, state="used", variant="buggy"}"#, "10 10 9 10 10 9 10 10 9 10 10 9 10 10 9 10 10 9 10 10 9 10 10 9"),
                    Series::One(r#"db_client_connection_max{$scope, variant="buggy"}"#, "10x30"),
                    Series::One(r#"db_client_connection_timeouts_total{$scope, variant="buggy"}"#, "7x30"),
                ],
            )),
        },
        AlertRule {
            name: "StampedeRuntimeLag",
            group: "saturation",
            expr: format!("{} > {RUNTIME_LAG_SECONDS}", servers().fill(&lag)),
            hold: Duration::from_secs(60),
            severity: Severity::Warning,
            labels: Vec::new(),
            summary: "The async runtime wakes its tasks late".into(),
            description: "Every request of variant {{ $labels.variant }} is late by that much, whatever it asks for. Either something computes \
                          on an async worker, or the machine has too few processors."
                .into(),
            case: Some(Case::new(
                &servers(),
                &[
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="0.05"}"#, "0x30"),
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="0.1"}"#, "0+20x30"),
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="+Inf"}"#, "0+20x30"),
                ],
                // A moment: it is over before it has lasted for a minute.
                &[
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="0.05"}"#, "0x17 10+20x13"),
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="0.1"}"#, "0x17 20+20x13"),
                    Series::One(r#"stampede_runtime_lag_seconds_bucket{$scope, variant="buggy", le="+Inf"}"#, "0x17 20+20x13"),
                ],
            )),
        },
        AlertRule {
            name: "StampedeTargetDown",
            group: "saturation",
            // A server that was there and is gone; one that nobody has started is no loss.
            expr: format!(
                r#"up{{job="{TARGET_APP}"}} == 0 and max_over_time(up{{job="{TARGET_APP}"}}[1h]) == 1"#
            ),
            hold: Duration::from_secs(60),
            severity: Severity::Critical,
            labels: Vec::new(),
            summary: "A server does not answer on its operator port".into(),
            description: "{{ $labels.instance }} has not answered a scrape for a minute. Either it is gone, or its machine is too busy for anything.".into(),
            case: Some(Case {
                labels: vec![("job", TARGET_APP), ("instance", "one"), ("variant", "buggy")],
                ..Case::new(
                    &servers(),
                    &[Series::One(r#"up{$scope, instance="one", variant="buggy"}"#, "1x4 0x26")],
                    &[Series::One(r#"up{$scope, instance="one", variant="buggy"}"#, "1x17 0 0 1x11")],
                )
            }),
        },
        AlertRule {
            name: "StampedeGeneratorLate",
            group: "saturation",
            expr: format!("{} > {GENERATOR_LAG_SECONDS}", generator().fill(&generator_lag)),
            hold: Duration::ZERO,
            severity: Severity::Info,
            labels: Vec::new(),
            summary: "The load generator sends its requests late".into(),
            description: "The latencies of exercise {{ $labels.exercise }}, variant {{ $labels.variant }} may be the generator's own. Do not trust them: \
                          lower the rate, or give the generator processors of its own."
                .into(),
            case: Some(Case {
                labels: vec![("exercise", "slow-analytics"), ("variant", "buggy")],
                ..Case::new(
                    &generator(),
                    &[
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="0.02"}"#, "0+1x30"),
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="0.1"}"#, "0+9x30"),
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="+Inf"}"#, "0+9x30"),
                    ],
                    &[
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="0.001"}"#, "0+9x30"),
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="0.01"}"#, "0+9x30"),
                        Series::One(r#"stampede_loadgen_timer_lag_seconds_bucket{$scope, exercise="slow-analytics", variant="buggy", le="+Inf"}"#, "0+9x30"),
                    ],
                )
            }),
        },
    ]
    .into_iter()
}
