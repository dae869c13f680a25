//! What a server says about itself, as somebody outside of it reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::PgPool;
use target_app::exercises::all_metrics;
use target_app::telemetry::MetricKind;
use tokio::io::{AsyncBufReadExt, BufReader};
use uuid::Uuid;

use crate::support::{Outside, TestServer, database, pending_orders, pool, skip, text};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";

fn traceparent() -> String {
    format!("00-{TRACE_ID}-{SPAN_ID}-01")
}

/// A request of every kind that leaves its mark on the metrics.
async fn traffic(server: &TestServer) {
    let user = server.heavy_user().await;
    let products = server.json("/products?page=1&limit=20").await;
    let product = text(&products["products"][19]["id"]);
    for restaurant in server.restaurants().await {
        server.json(&format!("/restaurants/{restaurant}/analytics")).await;
    }
    assert_eq!(server.checkout(&user, &[(&product, 2)]).send().await.unwrap().status(), 201);
    assert_eq!(server.checkout(&user, &[(&product, 1_000)]).send().await.unwrap().status(), 409);
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(server.checkout(&nobody, &[(&product, 1)]).send().await.unwrap().status(), 422);
    assert!(server.get(&format!("/reports/orders/{user}")).send().await.unwrap().status().is_success());
    assert_eq!(server.get("/nowhere").send().await.unwrap().status(), 404);
}

/// Series without their values.
fn series(metrics: &str) -> BTreeSet<&str> {
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a series and its value").0)
        .collect()
}

/// Sum of all series that begin like this.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter(|line| line.starts_with(name));
    values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn what_is_exported_is_what_is_declared() {
    let (database, outside) = (database().await, Outside::start().await);
    let order = pending_orders(&pool(&database).await, 1).await[0];
    let server = TestServer::start(&database, &["--all", "buggy", "--providers", &outside.url()]).await;
    traffic(&server).await;
    assert_eq!(server.pay(order).send().await.unwrap().status(), 201);
    let checkout = json!({ "userId": order, "items": [{ "productId": order, "quantity": 1 }],
                           "paymentMethod": "card", "cardLast4": "4242" });
    let checkout = server.post("/api/checkout").header("Idempotency-Key", "nobodys").json(&checkout);
    assert_eq!(checkout.send().await.unwrap().status(), 422);
    let reservation =
        server.post(&format!("/sales/{order}/reservations")).header("X-User-Id", order.to_string());
    assert_eq!(reservation.send().await.unwrap().status(), 404);
    let metrics = server.metrics().await;
    let exported: BTreeMap<&str, &str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let declared: BTreeMap<&str, &str> =
        all_metrics().map(|metric| (metric.name, metric.kind.name())).collect();
    assert_eq!(exported, declared);
    assert_eq!(all_metrics().count(), declared.len(), "names are unique");
    for metric in all_metrics() {
        assert_eq!(metric.buckets.is_empty(), metric.kind != MetricKind::Histogram, "{}", metric.name);
        assert!(metric.buckets.is_sorted() && !metric.help.is_empty(), "{}", metric.name);
        for name in metric.series() {
            assert!(series(&metrics).iter().any(|series| series.starts_with(&name)), "{name}");
        }
    }
    assert_eq!(sum(&metrics, "stampede_units_sold_total"), 2.0);
    assert_eq!(sum(&metrics, r#"stampede_reports_total{outcome="delivered"}"#), 1.0);
    assert_eq!(sum(&metrics, "stampede_oversold_units"), 0.0);
    // The code of a broken foreign key.
    let failed = r#"db_client_operation_duration_seconds_count{db_query_summary="INSERT orders order_items",error_type="23503"}"#;
    assert_eq!(sum(&metrics, failed), 1.0);
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return skip("promtool_finds_nothing_to_say_about_the_metrics", "there is no promtool in PATH");
    };
    let server = TestServer::start(&database().await, &["--all", "buggy"]).await;
    traffic(&server).await;
    promtool.stdin.take().unwrap().write_all(server.metrics().await.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn clients_cannot_invent_series() {
    let server = TestServer::start(&database().await, &[]).await;
    let nonsense = async |round: usize| {
        for n in 0..40 {
            let word = format!("X{round}{n}");
            let method = match n % 4 {
                0 => Method::from_bytes(word.as_bytes()).unwrap(),
                1 => Method::DELETE,
                2 => Method::POST,
                _ => Method::GET,
            };
            let path = match n % 5 {
                0 => format!("/{word}/{n}"),
                1 => format!("/products/{}", Uuid::now_v7()),
                2 => format!("/products?{word}={n}"),
                3 => format!("/orders/{word}"),
                _ => format!("/restaurants/{word}/menu"),
            };
            let request =
                server.request(method, &path).header("X-Tenant-ID", &word).header("traceparent", &word);
            request.send().await.unwrap();
        }
    };
    nonsense(1).await;
    let metrics = server.metrics().await;
    let known = series(&metrics);
    for round in 2..5 {
        nonsense(round).await;
    }
    let metrics = server.metrics().await;
    assert_eq!(series(&metrics).difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(
        sum(&metrics, r#"http_server_request_duration_seconds_count{http_request_method="_OTHER""#) > 0.0
    );
}

#[tokio::test]
async fn a_statement_for_each_row_is_noticed_and_a_statement_for_all_is_not() {
    const NOTICED: &str = r#"stampede_n_plus_one_total{db_query_summary="SELECT menu_items",http_route="/restaurants/{id}/analytics"}"#;
    for (variant, noticed) in [("buggy", 1.0), ("parallel", 1.0), ("fixed", 0.0)] {
        let option = format!("slow-analytics={variant}");
        let server = TestServer::start(&database().await, &["--variant", &option]).await;
        let restaurant = server.restaurants().await[0].clone();
        server.json(&format!("/restaurants/{restaurant}/analytics")).await;
        let metrics = server.metrics().await;
        assert_eq!(sum(&metrics, NOTICED), noticed, "{variant}");
        assert_eq!(sum(&metrics, "stampede_n_plus_one_total") > 0.0, noticed > 0.0, "{variant}");
    }
}

/// Locks a product's row until the answer is dropped.
async fn lock(pool: &PgPool, product: Uuid) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut holder = pool.begin().await.unwrap();
    let lock = "SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE";
    sqlx::query(lock).bind(product).execute(&mut *holder).await.unwrap();
    holder
}

#[tokio::test]
async fn a_pool_that_is_used_up_shows() {
    let database = database().await;
    let options = ["--pool-size", "1", "--acquire-timeout-ms", "200"];
    let server = TestServer::start(&database, &options).await;
    let user = server.heavy_user().await;
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let pool = pool(&database).await;
    let holder = lock(&pool, product.parse().unwrap()).await;

    let buying = tokio::spawn(server.checkout(&user, &[(&product, 1)]).send());
    while server.metric(r#"db_client_connections{state="used"}"#).await < 1.0 {
        tokio::task::yield_now().await;
    }
    let before = server.metrics().await;
    assert_eq!(server.metric("db_client_connection_max").await, 1.0);
    for _ in 0..3 {
        assert_eq!(server.get("/users").send().await.unwrap().status(), 503);
    }
    let after = server.metrics().await;
    holder.rollback().await.unwrap();
    assert_eq!(buying.await.unwrap().unwrap().status(), 201);

    let grown = |name: &str| sum(&after, name) - sum(&before, name);
    assert_eq!(grown("db_client_connection_timeouts_total"), 3.0);
    assert_eq!(grown("db_client_connection_wait_time_seconds_count"), 3.0);
    assert!(grown("db_client_connection_wait_time_seconds_sum") >= 0.6);
    assert!(sum(&after, "db_client_connection_pending_requests") > 0.0);
    assert_eq!(sum(&after, r#"db_client_connections{state="idle"}"#), 0.0);

    // A connection is given back by a task of its own.
    while server.metric(r#"db_client_connections{state="idle"}"#).await < 1.0 {
        tokio::task::yield_now().await;
    }
    let end = server.metrics().await;
    let uses = |metrics: &str| sum(metrics, "db_client_connection_use_time_seconds_count");
    assert_eq!(uses(&end), uses(&after) + 1.0);
}

#[tokio::test]
async fn a_server_whose_workers_are_stuck_still_says_so() {
    let options = ["--worker-threads", "1", "--variant", "frozen-health=buggy"];
    let server = TestServer::start(&database().await, &options).await;
    let report = format!("/reports/orders/{}", server.heavy_user().await);
    for _ in 0..20 {
        let report = tokio::spawn(server.get(&report).send());
        // Three answers one after the other, while one to the public listener is owed all the time: the same worker
        // would have given that in between.
        while !report.is_finished() {
            let health = tokio::spawn(server.get("/health").send());
            for _ in 0..3 {
                server.metrics().await;
            }
            if !health.is_finished() {
                return;
            }
        }
    }
    panic!("nobody ever waited for the only worker");
}

#[tokio::test]
async fn a_database_that_does_not_answer_takes_no_metrics_along() {
    let database = database().await;
    let server = TestServer::start(&database, &[]).await;
    let mut holder = pool(&database).await.begin().await.unwrap();
    sqlx::query("LOCK TABLE order_items").execute(&mut *holder).await.unwrap();
    // The lock is held until the end, so that whoever waits for it gives no metrics at all.
    assert!(server.metrics().await.contains("tokio_workers"));
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_request_that_its_client_gave_up_is_counted() {
    const GIVEN_UP: &str = r#"http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="499",http_route="/orders/checkout"}"#;
    const ACTIVE: &str = r#"http_server_active_requests{http_request_method="POST"}"#;
    let database = database().await;
    let server = TestServer::start(&database, &[]).await;
    let user = server.heavy_user().await;
    let product = text(&server.json("/products?limit=1").await["products"][0]["id"]);
    let pool = pool(&database).await;
    let holder = lock(&pool, product.parse().unwrap()).await;

    let buying = tokio::spawn(server.checkout(&user, &[(&product, 1)]).send());
    while server.metric(ACTIVE).await < 1.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metric(GIVEN_UP).await, 0.0);
    buying.abort();
    while server.metric(ACTIVE).await > 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metric(GIVEN_UP).await, 1.0);
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn only_the_gauges_of_the_data_that_are_asked_for_are_kept() {
    const GAUGE: &str = "stampede_oversold_units";
    let database = database().await;
    for (options, kept) in [
        ([].as_slice(), true),
        (&["--data-gauge", "frozen-health"], false),
        (&["--data-gauge", "frozen-health", "--data-gauge", "oversold-stock"], true),
    ] {
        let server = TestServer::start(&database, options).await;
        assert_eq!(series(&server.metrics().await).contains(GAUGE), kept, "{options:?}");
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_target-app")).args(["--data-gauge", "oversold"]).output();
    let error = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(error.contains("did you mean oversold-stock"), "{error}");
}

#[tokio::test]
async fn what_was_sold_beyond_the_stock_is_known_to_every_replica() {
    let database = database().await;
    let pool = pool(&database).await;
    let replicas = [TestServer::start(&database, &[]).await, TestServer::start(&database, &[]).await];
    let (product, stock): (Uuid, i32) =
        sqlx::query_as("SELECT id, stock FROM products ORDER BY id LIMIT 1").fetch_one(&pool).await.unwrap();
    // Somebody sells what is there and three pieces more, and writes a stock back that knows nothing of it.
    let order = Uuid::now_v7();
    sqlx::query(
        "WITH placed AS (
             INSERT INTO orders (id, user_id, status, total_cents) SELECT $1, id, 'pending', 0 FROM users LIMIT 1
         )
         INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents) VALUES ($1, $2, $3, 0)",
    )
    .bind(order)
    .bind(product)
    .bind(stock + 3)
    .execute(&pool)
    .await
    .unwrap();
    for replica in &replicas {
        assert_eq!(replica.metric("stampede_oversold_units").await, 3.0);
        assert_eq!(replica.metric("stampede_units_sold_total").await, 0.0, "it confirmed no order itself");
    }
}

#[tokio::test]
async fn a_request_stays_in_its_callers_trace_or_begins_one() {
    let server = TestServer::start(&database().await, &[]).await;
    let answer = async |sent: Option<&str>| {
        let request = server.get("/health");
        let request = match sent {
            Some(sent) => request.header("traceparent", sent),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let header = answer.headers()["traceparent"].to_str().unwrap().to_owned();
        let parts: Vec<String> = header.split('-').map(str::to_owned).collect();
        let lengths: Vec<usize> = parts.iter().map(String::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{header}");
        (parts[1].clone(), parts[2].clone(), parts[3].clone())
    };

    let (trace, span, flags) = answer(Some(&traceparent())).await;
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE_ID, "01"));
    assert_ne!(span, SPAN_ID);
    let (one, ..) = answer(None).await;
    let (other, ..) = answer(Some(&traceparent().to_uppercase())).await;
    assert!(one != other && one != TRACE_ID && other != TRACE_ID);

    let unknown = server.get("/nowhere").header("traceparent", traceparent()).send().await.unwrap();
    assert!(unknown.headers()["traceparent"].to_str().unwrap().contains(TRACE_ID));
}

#[tokio::test]
async fn each_line_of_the_log_names_its_request_and_trace() {
    let database = database().await;
    let mut server = TestServer::start_with(&database, &["--run-id", "run 7"], |command| {
        command.env("RUST_LOG", "target_app::access=info,sqlx::query=debug").stderr(Stdio::piped());
    })
    .await;
    let mut lines = BufReader::new(server.child().stderr.take().unwrap()).lines();
    server.get("/users").header("traceparent", traceparent()).send().await.unwrap();

    let statement: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let access: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    for line in [&statement, &access] {
        assert_eq!(line["trace_id"], TRACE_ID);
        assert_eq!(text(&line["span_id"]).len(), 16);
        assert_eq!((&line["http_route"], &line["http_request_method"]), (&"/users".into(), &"GET".into()));
        assert_eq!(line["run_id"], "run 7");
        assert!(chrono::DateTime::parse_from_rfc3339(&text(&line["timestamp"])).is_ok());
    }
    assert_eq!((&statement["level"], &statement["target"]), (&"DEBUG".into(), &"sqlx::query".into()));
    assert_eq!((&access["level"], &access["target"]), (&"INFO".into(), &"target_app::access".into()));
    assert_eq!(access["message"], "answered");
    assert_eq!(access["http_response_status_code"], 200);
    assert!(access["duration_ms"].as_f64().unwrap() > 0.0);
}

/// What a collector was sent: the path, the type of the content, and the body.
type Sent = (String, String, Vec<u8>);

/// A collector that takes everything, and its address.
async fn collector() -> (String, Arc<Mutex<Vec<Sent>>>) {
    let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
    let take = async |State(sent): State<Arc<Mutex<Vec<Sent>>>>,
                      uri: OriginalUri,
                      headers: HeaderMap,
                      body: Bytes| {
        let content = headers["content-type"].to_str().unwrap().to_owned();
        sent.lock().unwrap().push((uri.path().to_owned(), content, body.to_vec()));
    };
    let router = Router::new().fallback(take).with_state(sent.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    (address, sent)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Ends the server as an orchestrator does.
async fn terminate(mut server: TestServer) {
    // Waiting for a child closes its input, which would end this one before the signal does.
    let _lifeline = server.child().stdin.take();
    let pid = Pid::from_raw(server.child().id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(server.child().wait().await.unwrap().success());
}

#[tokio::test]
async fn traces_reach_the_collector_under_the_ids_that_the_answer_names() {
    let (address, sent) = collector().await;
    let server = TestServer::start(&database().await, &["--otlp", &address]).await;
    let answer = server.get("/users").header("traceparent", traceparent()).send().await.unwrap();
    let named = answer.headers()["traceparent"].to_str().unwrap().to_owned();
    assert!(named.contains(TRACE_ID));
    let made = server.get("/health").send().await.unwrap().headers()["traceparent"].clone();
    // The last spans are sent when the server ends.
    terminate(server).await;

    let sent = sent.lock().unwrap();
    let (path, content, _) = &sent[0];
    assert_eq!((path.as_str(), content.as_str()), ("/v1/traces", "application/x-protobuf"));
    let bodies: Vec<u8> = sent.iter().flat_map(|(_, _, body)| body.clone()).collect();
    let bytes = |hex: &str| u128::from_str_radix(hex, 16).unwrap().to_be_bytes();
    assert!(contains(&bodies, &bytes(TRACE_ID)));
    assert!(contains(&bodies, &bytes(&named[36..52])[8..]), "the span of the answer");
    assert!(contains(&bodies, &bytes(&made.to_str().unwrap()[3..35])));
    assert!(contains(&bodies, b"GET /users") && contains(&bodies, b"FROM users"));
}

#[tokio::test]
async fn a_collector_that_is_not_there_harms_nobody() {
    let server = TestServer::start(&database().await, &["--otlp", "http://127.0.0.1:1"]).await;
    for _ in 0..10 {
        server.json("/products").await;
    }
    terminate(server).await;
}

#[test]
fn a_collectors_address_that_cannot_be_one_is_a_usage_error() {
    for (option, words) in
        [("https://collector", "http://127.0.0.1:4318"), ("collector", "http://127.0.0.1:4318")]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_target-app")).args(["--otlp", option]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(option) && error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn without_telemetry_only_the_run_is_named() {
    let server = TestServer::start(&database().await, &["--telemetry", "off", "--run-id", "quiet"]).await;
    traffic(&server).await;
    let answer = server.get("/health").header("traceparent", traceparent()).send().await.unwrap();
    assert!(!answer.headers().contains_key("traceparent"));
    let metrics = server.metrics().await;
    assert!(metrics.contains(r#"run_id="quiet""#));
    let counted = |line: &&str| {
        !line.starts_with('#') && !line.ends_with(" 0") && !line.starts_with("stampede_run_info")
    };
    assert_eq!(metrics.lines().filter(counted).collect::<Vec<_>>(), Vec::<&str>::new());
}
