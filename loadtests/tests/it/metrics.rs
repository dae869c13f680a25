//! What a scrape sees of a load.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loadgen_metrics::METRICS;
use loadtests::load::TIMEOUT;
use loadtests::load::metrics::{Meter, Metrics};
use loadtests::load::{Cancel, Mode, Plan, Request, drive, judge_status};
use loadtests::results::CheckResult;
use loadtests::scenarios::SCENARIOS;

use crate::cli::skip;
use crate::load::{at, ok, plan, server};

fn metered() -> (Arc<Metrics>, Option<Meter>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    (metrics.clone(), Some(Meter::new(metrics, "an-exercise", "a-variant")))
}

/// The sum of a metric's series that have all of these labels; none when there is no such series.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of_metric = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let wanted = of_metric.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).reduce(|sum, one| sum + one)
}

const INTENDED: &str = "stampede_loadgen_requests_intended_total";
const REQUESTS: &str = "stampede_loadgen_requests_total";
const IN_FLIGHT: &str = "stampede_loadgen_in_flight";

/// A load with requests of every end, measured by a meter that nobody reads before the end.
async fn mixed_load(mode: Mode) -> (Arc<Metrics>, loadtests::load::Load) {
    let (url, _) = server().await;
    let (metrics, meter) = metered();
    let mut tickets: Vec<_> = (0..20).map(|n| at(n, ok())).collect();
    tickets.extend((0..3).map(|n| at(20 + n, Request::get("broken", "/broken"))));
    if mode == Mode::Open {
        // Four users hang until the cut, and then nobody is left for the fifth.
        tickets.extend((0..5).map(|n| at(100 + n, Request::get("hang", "/hang"))));
    }
    let plan = Plan { users: 4, drain: Duration::ZERO, mode, meter, ..plan(&url, tickets) };
    let load = drive(plan, Arc::new(judge_status), Cancel::new()).await.unwrap();
    (metrics, load)
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_agree_with_the_load() {
    for mode in [Mode::Open, Mode::Closed] {
        let (metrics, load) = mixed_load(mode).await;
        let text = metrics.encode();
        for ((name, outcome), latencies) in &load.latencies {
            let labels = [
                r#"exercise="an-exercise""#,
                r#"variant="a-variant""#,
                &format!("request=\"{name}\""),
                &format!("outcome=\"{outcome}\""),
            ];
            let count = Some(latencies.response.len() as f64);
            assert_eq!(value(&text, REQUESTS, &labels), count, "{mode} {name} {outcome}\n{text}");
            let observed = value(&text, "stampede_loadgen_response_duration_seconds_count", &labels);
            assert_eq!(observed, count, "{mode} {name} {outcome}");
        }
        let scheduled = Some(load.tickets.scheduled as f64);
        assert_eq!(value(&text, INTENDED, &[]), scheduled, "{mode}");
        assert_eq!(value(&text, REQUESTS, &[]), scheduled, "{mode}");
        assert_eq!(value(&text, "stampede_loadgen_lag_seconds_count", &[]), scheduled, "{mode}");
        assert_eq!(value(&text, IN_FLIGHT, &[]), Some(0.0), "{mode}: nothing is in flight after a load");
        assert_eq!(value(&text, "stampede_loadgen_users", &[]), Some(4.0));
        let saturated = f64::from(u8::from(load.saturation.is_some()));
        assert_eq!(value(&text, "stampede_loadgen_saturated", &[]), Some(saturated));
        assert_eq!(metrics.encode(), text, "a load that is over changes nothing any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_sees_a_load_that_goes_on_and_counts_nothing_twice() {
    let (url, control) = server().await;
    let (metrics, meter) = metered();
    // The second waits for the only user: it is intended, and not sent.
    let tickets = vec![at(0, Request::get("gate", "/gate")), at(0, ok())];
    let plan = Plan { users: 1, meter, ..plan(&url, tickets) };
    let load = tokio::spawn(drive(plan, Arc::new(judge_status), Cancel::new()));
    while control.at_gate.load(Ordering::SeqCst) == 0 {
        control.arrival.notified().await;
    }
    for _ in 0..2 {
        let text = metrics.encode();
        assert_eq!(value(&text, INTENDED, &[]), Some(2.0), "{text}");
        assert_eq!(value(&text, REQUESTS, &["outcome=\"ok\""]), Some(0.0), "zero is there to rise from");
        assert_eq!(value(&text, IN_FLIGHT, &["request=\"gate\""]), Some(1.0));
        assert_eq!(value(&text, IN_FLIGHT, &["request=\"ok\""]), Some(0.0));
    }
    control.gate.notify_one();
    load.await.unwrap().unwrap();
    let text = metrics.encode();
    assert_eq!(value(&text, REQUESTS, &[]), Some(2.0), "{text}");
    assert_eq!(value(&text, IN_FLIGHT, &[]), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_load_counts_nothing_that_was_not_due() {
    let (url, control) = server().await;
    let (metrics, meter) = metered();
    let tickets = vec![at(0, Request::get("gate", "/gate")), at(299_999, ok()), at(299_999, ok())];
    // One user holds a ticket whose time has not come, and the last ticket is taken by nobody.
    let plan = Plan { users: 2, duration: Duration::from_secs(300), meter, ..plan(&url, tickets) };
    let cancel = Cancel::new();
    let load = tokio::spawn(drive(plan, Arc::new(judge_status), cancel.clone()));
    control.arrival.notified().await;
    cancel.raise();
    load.await.unwrap().unwrap_err();
    let text = metrics.encode();
    assert_eq!(value(&text, INTENDED, &[]), Some(1.0), "{text}");
    assert_eq!(value(&text, REQUESTS, &[]), Some(1.0), "{text}");
    assert_eq!(value(&text, REQUESTS, &["outcome=\"in-flight\""]), Some(1.0));
}

/// Every metric that is declared, with a value.
async fn everything() -> String {
    let (metrics, _) = mixed_load(Mode::Open).await;
    let check = |name: &str, held| CheckResult {
        name: name.into(),
        kind: "invariant".into(),
        held,
        doubt: None,
        skipped: None,
        expected: String::new(),
        observed: String::new(),
    };
    let meter = Meter::new(metrics.clone(), "an-exercise", "a-variant");
    meter.checks(&[check("kept", true), check("broken", true)]);
    meter.checks(&[check("broken", false)]);
    metrics.encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_is_declared() {
    let text = everything().await;
    let shown: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let declared: Vec<String> =
        METRICS.iter().map(|spec| format!("{} {}", spec.name, spec.kind.name())).collect();
    assert_eq!(shown, declared.iter().map(String::as_str).collect());
    assert_eq!(value(&text, "stampede_check_held", &["check=\"kept\""]), Some(1.0));
    assert_eq!(value(&text, "stampede_check_held", &["check=\"broken\""]), Some(0.0), "the last round's");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return skip("promtool_finds_nothing_to_say", "promtool is not in PATH");
    };
    let mut input = promtool.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, everything().await.as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty() && said.stdout.is_empty(), "{said:?}");
}

#[test]
fn every_limit_of_an_objective_is_a_bucket_edge() {
    let response = METRICS.iter().find(|spec| spec.name.contains("response")).unwrap();
    let limits = SCENARIOS.iter().flat_map(|scenario| scenario.spec().limits).chain([&TIMEOUT]);
    for limit in limits {
        assert!(response.buckets.contains(&limit.as_secs_f64()), "{limit:?}");
    }
}
