//! The load engine against a tiny server that misbehaves on demand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures::StreamExt;
use loadtests::load::{
    Answer, Cancel, Class, Judge, Load, LoadError, Mode, Outcome, Plan, Request, SLOWEST, Ticket, Timeline,
    arrivals, drive, judge_status, status_reason, trace_seed,
};
use loadtests::results::Tickets;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const LONG: Duration = Duration::from_secs(30);
/// For what has to happen during a load, also on a machine that has other things to do.
const TIME_ENOUGH: Duration = Duration::from_secs(2);

pub fn at(millis: u64, request: Request) -> Ticket {
    Ticket { at: Duration::from_millis(millis), request }
}

pub fn ok() -> Request {
    Request::get("ok", "/ok")
}

pub fn plan(url: &str, tickets: Vec<Ticket>) -> Plan {
    Plan {
        targets: vec![url.parse().unwrap()],
        tickets,
        duration: Duration::from_millis(300),
        warm_up: Duration::ZERO,
        users: 8,
        timeout: LONG,
        drain: LONG,
        mode: Mode::Open,
        trace_seed: 1,
        meter: None,
        timeline: Timeline::default(),
    }
}

fn by_status() -> Judge {
    Arc::new(judge_status)
}

pub async fn run(plan: Plan) -> Load {
    drive(plan, by_status(), Cancel::new()).await.unwrap()
}

/// What the test can see of the server, and do to it.
#[derive(Default)]
pub struct Control {
    /// Requests that wait at the gate, or did.
    pub at_gate: AtomicUsize,
    pub arrival: Notify,
    pub gate: Notify,
    bodies: std::sync::Mutex<Vec<Bytes>>,
    traceparents: std::sync::Mutex<Vec<String>>,
}

/// Serves until the test's runtime ends.
pub async fn server() -> (String, Arc<Control>) {
    async fn gate(State(control): State<Arc<Control>>) -> &'static str {
        let opened = control.gate.notified();
        control.at_gate.fetch_add(1, Ordering::SeqCst);
        control.arrival.notify_one();
        opened.await;
        "opened"
    }
    async fn stalled_body() -> Body {
        Body::from_stream(
            futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a beginning")) })
                .chain(futures::stream::pending()),
        )
    }
    async fn keep(State(control): State<Arc<Control>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
        control.bodies.lock().unwrap().push(body);
        let traceparent = headers["traceparent"].to_str().unwrap().to_owned();
        control.traceparents.lock().unwrap().push(traceparent);
        StatusCode::CREATED
    }
    let control = Arc::new(Control::default());
    let router = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/refused", get(|| async { StatusCode::CONFLICT }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/hang", get(std::future::pending::<()>))
        .route("/gate", get(gate))
        .route("/stalled-body", get(stalled_body))
        .route("/keep", post(keep))
        .with_state(control.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, control)
}

/// Reads a request and closes the connection without an answer.
async fn rude_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_request_has_its_own_place_in_the_accounts() {
    let (url, _) = server().await;
    let closed_port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut requests: Vec<Request> = ["ok", "ok", "refused", "broken", "hang", "stalled-body"]
        .map(|n| Request::get("r", format!("/{n}")))
        .into();
    requests.push(Request { target: 1, ..ok() });
    requests.push(Request { target: 2, ..ok() });
    let mut plan = plan(&url, requests.into_iter().map(|request| at(0, request)).collect());
    plan.targets.extend([rude_server().await.parse().unwrap(), closed_port.parse().unwrap()]);
    plan.timeout = Duration::from_secs(1);
    let judge: Judge = Arc::new(|request: &Request, answer: &Answer<'_>| match answer.status {
        409 => Outcome::Expected("short-stock"),
        _ => judge_status(request, answer),
    });

    let load = drive(plan, judge, Cancel::new()).await.unwrap();

    assert_eq!(load.tickets, Tickets { scheduled: 8, ok: 3, failed: 3, timed_out: 2, ..Tickets::default() });
    assert_eq!(load.count("r", "ok"), 2);
    assert_eq!(load.count("r", "short-stock"), 1);
    assert_eq!(load.count("r", "status-500"), 1);
    assert_eq!(load.count("r", "timeout"), 2, "no answer, and an answer without an end");
    assert_eq!(load.count("ok", "connection-refused"), 1);
    assert_eq!(load.count("ok", "connection-closed") + load.count("ok", "connection-reset"), 1);
    assert!(load.latencies[&("r", "timeout")].service.min() >= 999_000, "at the timeout or later");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_lists_each_name_and_outcome_once_and_in_order() {
    let (url, _) = server().await;
    let tickets = ["/ok", "/broken", "/ok"].map(|path| at(0, Request::get("page", path)));
    let stats = run(plan(&url, tickets.into())).await.request_stats();
    let rows: Vec<_> = stats.iter().map(|row| (row.outcome.as_str(), row.failed, row.count)).collect();
    assert_eq!(rows, [("ok", false, 2), ("status-500", true, 1)]);
    assert!(stats[0].response.p50_us > 0 && stats[0].response.max_us >= stats[0].response.p50_us);
    assert!(stats[0].response.curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_the_end_is_cut_and_what_was_not_sent_is_counted() {
    let (url, control) = server().await;
    let tickets = (0..5).map(|_| at(0, Request::get("hang", "/gate"))).collect();
    let plan = Plan { users: 2, duration: TIME_ENOUGH, drain: Duration::ZERO, ..plan(&url, tickets) };
    let load = run(plan).await;
    assert!(control.at_gate.load(Ordering::SeqCst) <= 2, "no more requests in flight than users");
    assert_eq!(load.tickets, Tickets { scheduled: 5, in_flight: 2, never_sent: 3, ..Tickets::default() });
    assert_eq!(load.response("hang").len(), 5, "they are in the percentiles");
    let cut = TIME_ENOUGH.as_micros() as u64;
    assert!(load.response("hang").min() >= cut - cut / 500, "with the time until the cut");
    assert_eq!(load.latencies[&("hang", "in-flight")].class, Class::InFlight);
    assert!(load.latencies[&("hang", "never-sent")].service.is_empty());
    assert_eq!(load.count("hang", "ok"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_in_the_queue_belongs_to_the_response() {
    let (url, control) = server().await;
    // The first request holds the only user until all the others are due.
    let mut tickets = vec![at(0, Request::get("first", "/gate"))];
    tickets.extend((1..=10).map(|n| at(n, ok())));
    tickets.push(at(200, Request::get("last", "/ok")));
    let plan = Plan { users: 1, ..plan(&url, tickets) };
    let opener = tokio::spawn(async move {
        control.arrival.notified().await;
        // Not a wait for something to happen: the time that the gate is shut is what is measured.
        tokio::time::sleep(Duration::from_millis(50)).await;
        control.gate.notify_one();
    });
    let load = run(plan).await;
    opener.await.unwrap();
    assert_eq!(load.tickets.ok, 12);
    let late = &load.latencies[&("ok", "ok")];
    let held_up = load.response("first").max();
    assert!(
        late.lag.min() >= held_up - 10_000,
        "due at 10 ms or before, and not sent before the first was done"
    );
    assert!(late.response.min() >= late.lag.min());
    assert!(late.lag.max() <= late.response.max());
    assert!(load.queued.len() >= 10, "all that were due meanwhile");
    assert_eq!(load.queued.len() + load.timer_lag.len(), 12, "a ticket waits for a user or a user for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_users_for_a_quick_server_are_the_generators_fault() {
    let (url, _) = server().await;
    let tickets: Vec<Ticket> = (0..3000).map(|_| at(0, ok())).collect();
    let driven = async || {
        let load = run(Plan { users: 1, ..plan(&url, tickets.clone()) }).await;
        load.saturation.expect("3000 requests at once cannot all be sent by one user")
    };
    let mut saturation = driven().await;
    for _ in 0..5 {
        // The one ticket that no other was before is all that its timer is judged by: on a busy machine it may be late.
        if saturation.reason.contains("its own timer") {
            saturation = driven().await;
        }
    }
    assert!(saturation.reason.contains("waited for one of 1 users"), "{saturation}");
    assert!(saturation.hint.contains("more than 1 users"), "{}", saturation.hint);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runtime_that_is_held_up_saturates_the_generator() {
    let (url, _) = server().await;
    let tickets = (0..20).map(|n| at(n * 10, ok())).collect();
    // The judge runs where the users run: nobody can send while it blocks.
    let judge: Judge = Arc::new(|_: &Request, _: &Answer<'_>| {
        std::thread::sleep(Duration::from_millis(50));
        Outcome::Ok
    });
    let load = drive(plan(&url, tickets), judge, Cancel::new()).await.unwrap();
    let saturation = load.saturation.expect("users were woken late");
    assert!(saturation.reason.contains("timer"), "{saturation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_up_tickets_are_sent_and_accounted_for_apart() {
    let (url, _) = server().await;
    let tickets = (0..30).map(|n| at(n * 10, ok())).collect();
    let load = run(Plan { warm_up: Duration::from_millis(100), ..plan(&url, tickets) }).await;
    assert_eq!(load.warm_up, Tickets { scheduled: 10, ok: 10, ..Tickets::default() });
    assert_eq!(load.tickets, Tickets { scheduled: 20, ok: 20, ..Tickets::default() });
    assert_eq!(load.response("ok").len(), 20);
    assert_eq!(load.throughput("ok"), 100.0, "20 in the 200 ms that were measured");
    assert_eq!(
        load.series.iter().map(|second| second.completed["ok"]).sum::<u64>(),
        30,
        "the series has all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_closed_loop_wait_for_their_answers() {
    let (url, control) = server().await;
    let tickets = vec![at(0, Request::get("gate", "/gate"))];
    let plan = Plan { users: 3, duration: TIME_ENOUGH, mode: Mode::Closed, ..plan(&url, tickets) };
    let opener = tokio::spawn(async move {
        while control.at_gate.load(Ordering::SeqCst) < 3 {
            control.arrival.notified().await;
        }
        tokio::time::sleep(TIME_ENOUGH + Duration::from_millis(50)).await;
        let sent = control.at_gate.load(Ordering::SeqCst);
        control.gate.notify_waiters();
        sent
    });
    let load = run(plan).await;
    assert_eq!(opener.await.unwrap(), 3, "no user sent another request before it was answered");
    assert_eq!(load.tickets, Tickets { scheduled: 3, ok: 3, ..Tickets::default() });
    let latencies = &load.latencies[&("gate", "ok")];
    assert_eq!(latencies.response, latencies.service);
    assert_eq!(latencies.lag.max(), 0);
    assert_eq!(load.mode, Mode::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_goes_round_the_tickets() {
    let (url, _) = server().await;
    let tickets = vec![at(0, Request::get("a", "/ok")), at(0, Request::get("b", "/ok"))];
    let load = run(Plan { mode: Mode::Closed, ..plan(&url, tickets) }).await;
    assert!(load.count("a", "ok") > 1);
    assert!(load.count("a", "ok") - load.count("b", "ok") <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive() {
    let (url, control) = server().await;
    let request = Request::post("keep", "/keep", r#"{"quantity":1}"#);
    let judge: Judge =
        Arc::new(|request: &Request, answer: &Answer<'_>| match (&request.body, answer.status) {
            (Some(_), 201) => Outcome::Ok,
            _ => Outcome::Failed("wrong"),
        });
    let load = drive(plan(&url, vec![at(0, request)]), judge, Cancel::new()).await.unwrap();
    assert_eq!(load.count("keep", "ok"), 1);
    assert_eq!(*control.bodies.lock().unwrap(), [Bytes::from_static(br#"{"quantity":1}"#)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_panics_fails_the_request_and_keeps_the_user() {
    let (url, _) = server().await;
    let judge: Judge = Arc::new(|request: &Request, _: &Answer<'_>| match request.path.as_str() {
        "/ok?1" => panic!("the judge's own defect"),
        _ => Outcome::Ok,
    });
    let tickets = (0..10).map(|n| at(n, Request::get("ok", format!("/ok?{n}")))).collect();
    let load = drive(Plan { users: 1, ..plan(&url, tickets) }, judge, Cancel::new()).await.unwrap();
    assert_eq!(load.tickets, Tickets { scheduled: 10, ok: 9, failed: 1, ..Tickets::default() });
    assert_eq!(load.count("ok", "judge-panicked"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_load_ends_early_with_what_it_had() {
    let (url, control) = server().await;
    let tickets = vec![at(0, Request::get("hang", "/gate")), at(299_999, ok())];
    let plan = Plan { duration: Duration::from_secs(300), ..plan(&url, tickets) };
    let cancel = Cancel::new();
    let load = tokio::spawn(drive(plan, by_status(), cancel.clone()));
    control.arrival.notified().await;
    cancel.raise();
    let Err(LoadError::Interrupted { partial }) = load.await.unwrap() else {
        panic!("the load was not interrupted")
    };
    assert_eq!(partial.tickets, Tickets { scheduled: 2, in_flight: 1, never_sent: 1, ..Tickets::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_run_one_after_another_and_merge_without_loss() {
    let (url, _) = server().await;
    let plan_of = |count: u64| plan(&url, (0..count).map(|n| at(n, ok())).collect());
    let (first, second) = tokio::join!(run(plan_of(20)), run(plan_of(30)));
    let mut merged = first.clone();
    merged.merge(&second);
    assert_eq!(merged.tickets, Tickets { scheduled: 50, ok: 50, ..Tickets::default() });
    let mut responses = first.response("ok");
    responses.add(second.response("ok")).unwrap();
    assert_eq!(merged.response("ok"), responses);
    assert_eq!(merged.measured, first.measured + second.measured);
    assert_eq!(merged.series, first.series);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_cannot_be_driven_say_why() {
    let refused = async |plan: Plan| match drive(plan, by_status(), Cancel::new()).await {
        Err(LoadError::Plan(why)) => why,
        other => panic!("expected a refusal, and got {other:?}"),
    };
    let good = plan("http://127.0.0.1:1", vec![at(0, ok())]);
    assert!(refused(Plan { users: 0, ..good.clone() }).await.contains("no users"));
    assert!(refused(Plan { tickets: vec![], ..good.clone() }).await.contains("no tickets"));
    assert!(refused(Plan { warm_up: LONG, ..good.clone() }).await.contains("warm-up"));
    let late = vec![at(300, ok())];
    assert!(refused(Plan { tickets: late, ..good.clone() }).await.contains("`ok` is due at 300ms"));
    let astray = vec![at(0, Request { target: 1, ..ok() })];
    assert!(refused(Plan { tickets: astray, ..good }).await.contains("target 1"));
}

/// The `traceparent` headers that a server saw of a load, in order, and the load.
async fn traced(mode: Mode, seed: u64) -> (Vec<String>, Load) {
    let (url, control) = server().await;
    let tickets = (0..7).map(|n| at(n * 10, Request::post("keep", "/keep", "{}"))).collect();
    let load = run(Plan { mode, users: 1, trace_seed: seed, ..plan(&url, tickets) }).await;
    let seen = std::mem::take(&mut *control.traceparents.lock().unwrap());
    (seen, load)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_names_a_trace_of_its_own_and_a_seed_repeats_them() {
    let (seen, _) = traced(Mode::Open, 7).await;
    for header in &seen {
        let parts: Vec<&str> = header.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { panic!("{header}") };
        assert_eq!((version, flags), ("00", "01"), "{header}");
        assert_eq!((trace.len(), span.len()), (32, 16), "{header}");
        assert!(header.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-')), "{header}");
    }
    let different: BTreeSet<_> = seen.iter().flat_map(|header| header.split('-').skip(1).take(2)).collect();
    assert_eq!(different.len(), 14, "seven traces and seven spans");
    assert_eq!(traced(Mode::Open, 7).await.0, seen);
    assert!(traced(Mode::Open, 8).await.0.iter().all(|header| !seen.contains(header)));

    let (closed, _) = traced(Mode::Closed, 7).await;
    assert_eq!(closed[..7], seen);
    assert!(closed.len() > 7, "it goes round");
    assert_eq!(closed.iter().collect::<BTreeSet<_>>().len(), closed.len(), "also the same ticket sent again");
}

#[test]
fn trace_seeds_tell_loads_apart() {
    assert_eq!(trace_seed(""), 0xcbf2_9ce4_8422_2325, "the offset basis of FNV-1a");
    assert_eq!(trace_seed("foobar"), 0x8594_4171_f739_67e8, "one of its published test vectors");
    assert_ne!(trace_seed("42 oversold-stock buggy 1 0"), trace_seed("42 oversold-stock buggy 1 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_requests_are_kept_with_their_traces() {
    let (seen, load) = traced(Mode::Open, 7).await;
    assert_eq!(load.slowest.len(), SLOWEST);
    assert!(load.slowest.is_sorted_by(|a, b| a.response_us >= b.response_us));
    let responses = load.response("keep");
    assert!(responses.equivalent(load.slowest[0].response_us, responses.max()), "{:?}", load.slowest);
    for slow in &load.slowest {
        let sent = (slow.at_s * 100.0).round() as usize;
        assert!(seen[sent].contains(&slow.trace_id), "{slow:?} is not of {}", seen[sent]);
        assert_eq!((slow.request.as_str(), slow.outcome.as_str()), ("keep", "ok"));
        assert!(slow.response_us.abs_diff(slow.service_us + slow.lag_us) <= 1, "{slow:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_keeps_its_slowest_and_what_was_never_sent_is_not_among_them() {
    let (url, control) = server().await;
    // The warm-up's request holds one user to the end; the other goes on.
    let mut tickets = vec![at(0, Request::get("warm-up", "/gate"))];
    tickets.extend((0..9).map(|n| at(20 + n, ok())));
    tickets.extend((0..9).map(|n| at(100 + n, Request::get("hang", "/gate"))));
    let plan = Plan {
        users: 2,
        warm_up: Duration::from_millis(10),
        duration: TIME_ENOUGH,
        drain: Duration::ZERO,
        ..plan(&url, tickets)
    };
    let mut load = run(plan).await;
    assert_eq!(control.at_gate.load(Ordering::SeqCst), 2);
    let kept = |load: &Load, name: &str| load.slowest.iter().filter(|slow| slow.request == name).count();
    assert_eq!((kept(&load, "ok"), kept(&load, "hang"), kept(&load, "warm-up")), (SLOWEST, 1, 0));
    assert_eq!((load.slowest[0].request.as_str(), load.slowest[0].outcome.as_str()), ("hang", "in-flight"));

    load.merge(&load.clone());
    assert_eq!((kept(&load, "ok"), kept(&load, "hang")), (SLOWEST, 2));
    assert!(load.slowest.is_sorted_by(|a, b| a.response_us >= b.response_us));
}

#[test]
fn status_reasons_are_words_of_a_fixed_list() {
    assert_eq!(status_reason(503), "status-503");
    assert_eq!(status_reason(1), "status-unknown");
    assert!(std::ptr::eq(status_reason(404), status_reason(404)));
}

#[test]
fn constant_arrivals_keep_their_distance() {
    let arrivals = arrivals::constant(4.0, Duration::from_secs(1));
    assert_eq!(arrivals, [0, 250, 500, 750].map(Duration::from_millis));
}

#[test]
fn poisson_arrivals_have_the_rate_and_the_spread_that_the_name_promises() {
    let duration = Duration::from_secs(100);
    let arrivals = arrivals::poisson(&mut arrivals::seeded(1), 1000.0, duration);
    // The count has standard deviation sqrt(100 000) = 316: four of them on each side.
    assert!((98_735..=101_265).contains(&arrivals.len()), "{}", arrivals.len());
    assert!(arrivals.is_sorted() && arrivals.iter().all(|at| *at < duration));
    // Gaps of an exponential distribution have a standard deviation equal to their mean.
    let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{}", variance.sqrt() / mean);
}

#[test]
fn a_seed_repeats_a_schedule_and_another_does_not() {
    let draw = |seed| arrivals::poisson(&mut arrivals::seeded(seed), 100.0, Duration::from_secs(5));
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn a_spike_is_as_high_and_as_wide_as_asked() {
    let seconds = Duration::from_secs;
    let arrivals =
        arrivals::spike(&mut arrivals::seeded(3), 100.0, 5000.0, seconds(10), seconds(2), seconds(20));
    let between = |from, to| arrivals.iter().filter(|at| (seconds(from)..seconds(to)).contains(*at)).count();
    assert!(arrivals.is_sorted());
    // 1000, 10 000 and 800 on average, with four standard deviations on each side.
    assert!((874..=1126).contains(&between(0, 10)), "{}", between(0, 10));
    assert!((9600..=10_400).contains(&between(10, 12)), "{}", between(10, 12));
    assert!((687..=913).contains(&between(12, 20)), "{}", between(12, 20));
}

#[test]
fn a_ramp_rises_in_a_straight_line() {
    let arrivals = arrivals::ramp(&mut arrivals::seeded(3), 1.0, 2000.0, Duration::from_secs(10));
    assert!(arrivals.is_sorted());
    let half = arrivals.iter().filter(|at| **at < Duration::from_secs(5)).count() as f64;
    // Half the time has a quarter of a triangle's area: 2500 of 10 000, give or take four standard deviations.
    assert!((9600..=10_400).contains(&arrivals.len()), "{}", arrivals.len());
    assert!((2300.0..=2720.0).contains(&half), "{half}");
}
