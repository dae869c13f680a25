//! The services as clients and operators see them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use simulated_providers::{Entry, Options, Providers, Status, signature};
use tokio::net::TcpListener;

const SECRET: &[u8] = b"secret";

/// What takes longer never happens.
const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    providers: Providers,
    client: Client,
}

impl Bench {
    async fn start() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options { listen: any, operator_listen: any, seed: 42, secret: SECRET.to_vec() };
        let providers = Providers::start(&options).await.unwrap();
        Bench { providers, client: Client::builder().no_proxy().timeout(DEADLINE).build().unwrap() }
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Response {
        let mut request = self.client.post(format!("http://{}{path}", self.providers.address)).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.send().await.unwrap()
    }

    async fn charge(&self, key: &str) -> (u16, Value) {
        let answer = self.post("/payments/charges", Some(key), &charge()).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A request of a client who has left when this returns: not before `arrived` is so.
    async fn charge_and_leave(&self, key: &str, arrived: impl AsyncFn()) {
        let charge = charge();
        tokio::select! {
            answer = self.post("/payments/charges", Some(key), &charge) => panic!("it was answered: {answer:?}"),
            () = arrived() => {}
        }
    }

    fn operator(&self, path: &str) -> String {
        format!("http://{}{path}", self.providers.operator)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.client.get(self.operator(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn put(&self, path: &str, body: &Value) -> Response {
        self.client.put(self.operator(path)).json(body).send().await.unwrap()
    }

    async fn profile(&self, service: &str, profile: Value) {
        assert_eq!(self.put(&format!("/{service}/profile"), &profile).await.status(), StatusCode::OK);
    }

    async fn hold(&self, at: &str, requests: usize) {
        let close = json!({ "at": at, "requests": requests });
        assert_eq!(self.put("/payments/gate", &close).await.status(), StatusCode::NO_CONTENT);
    }

    async fn release(&self, how: &str) {
        let release = self.client.post(self.operator("/payments/gate/release")).json(&json!({ "how": how }));
        assert_eq!(release.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    }

    async fn held(&self, requests: usize) {
        let held: usize = self.read(&format!("/payments/gate?requests={requests}")).await;
        assert!(held >= requests, "{held} are held");
    }

    async fn charges(&self) -> Vec<Entry> {
        self.read("/payments/ledger").await
    }

    async fn payments(&self) -> Status {
        self.read("/payments").await
    }
}

fn charge() -> Value {
    json!({ "amountCents": 1999, "paymentMethod": "card", "cardLast4": "4242", "reference": "order 7" })
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("in time");
}

#[tokio::test]
async fn a_key_is_charged_once_however_many_ask_at_one_moment() {
    let bench = Bench::start().await;
    let answers = futures::future::join_all((0..50).map(|_| bench.charge("a"))).await;
    let charged = answers.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(charged, 1);
    assert!(answers.iter().all(|(status, charge)| matches!(status, 200 | 201) && *charge == answers[0].1));
    let charges = bench.charges().await;
    assert_eq!(charges.len(), 1);
    assert_eq!((charges[0].key.as_deref(), charges[0].requests), (Some("a"), 50));

    let other =
        json!({ "amountCents": 1, "paymentMethod": "card", "cardLast4": "4242", "reference": "order 7" });
    assert_eq!(bench.post("/payments/charges", Some("a"), &other).await.status(), 422);
    for _ in 0..2 {
        assert_eq!(bench.post("/payments/charges", None, &charge()).await.status(), 201);
    }
    assert_eq!(bench.charges().await.len(), 3);
}

#[tokio::test]
async fn a_charge_can_be_found_and_refunded() {
    let bench = Bench::start().await;
    bench.charge("a").await;
    let get = async |path: &str| {
        let answer =
            bench.client.get(format!("http://{}{path}", bench.providers.address)).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, found) = get("/payments/charges?key=a").await;
    assert_eq!((status, &found["status"], &found["amountCents"]), (200, &json!("succeeded"), &json!(1999)));
    assert_eq!(get("/payments/charges/1").await, (200, found));
    assert_eq!(get("/payments/charges?key=b").await.0, 404);
    assert_eq!(bench.post("/payments/charges/1/refund", None, &json!({})).await.status(), 200);
    assert_eq!(get("/payments/charges/1").await.1["status"], "refunded");
    assert!(bench.charges().await[0].undone);
    assert_eq!(bench.post("/payments/charges/2/refund", None, &json!({})).await.status(), 404);
}

#[tokio::test]
async fn an_effect_takes_place_when_its_client_has_left_and_not_when_it_was_refused_before() {
    let bench = Bench::start().await;
    bench.hold("before-effect", 1).await;
    bench.charge_and_leave("a", async || bench.held(1).await).await;
    assert_eq!(bench.charges().await, []);
    bench.release("continue").await;
    until(async || bench.charges().await.len() == 1).await;

    bench.hold("before-effect", 1).await;
    bench.charge_and_leave("b", async || bench.held(1).await).await;
    bench.release("refuse").await;
    until(async || bench.payments().await.in_flight == 0).await;
    assert_eq!(bench.charges().await.len(), 1);

    // Held after its effect, a request has had it.
    bench.hold("after-effect", 1).await;
    bench.charge_and_leave("c", async || bench.held(1).await).await;
    assert_eq!(bench.charges().await.len(), 2);
    // No more than were asked for are held.
    assert_eq!(bench.charge("d").await.0, 201);
}

#[tokio::test]
async fn a_service_is_as_unreliable_as_its_profile_says() {
    let bench = Bench::start().await;
    bench.profile("payments", json!({ "refusedShare": 1 })).await;
    assert_eq!(bench.charge("refused").await.0, 503);
    assert_eq!(bench.charges().await, []);

    bench.profile("payments", json!({ "failedShare": 1 })).await;
    assert_eq!(bench.charge("failed").await.0, 500);
    assert_eq!(bench.charges().await.len(), 1);

    bench.profile("payments", json!({ "garbledShare": 1 })).await;
    let answer = bench.post("/payments/charges", Some("garbled"), &charge()).await;
    assert_eq!(answer.status(), 201);
    assert!(answer.json::<Value>().await.is_err());
    assert_eq!(bench.charges().await.len(), 2);

    bench.profile("payments", json!({ "lostShare": 1 })).await;
    bench.charge_and_leave("lost", async || until(async || bench.charges().await.len() == 3).await).await;

    bench.profile("payments", json!({ "hungShare": 1 })).await;
    until(async || bench.payments().await.in_flight == 0).await;
    bench
        .charge_and_leave("hung", async || until(async || bench.payments().await.in_flight == 1).await)
        .await;
    // Nothing is kept for somebody who has left.
    until(async || bench.payments().await.in_flight == 0).await;
    assert_eq!(bench.charges().await.len(), 3);

    // Only until the profile changes, and no other service.
    bench.profile("payments", json!({})).await;
    assert_eq!(bench.charge("well").await.0, 201);
    let mail = json!({ "to": "ada@example.com", "subject": "Hello", "text": "Hello." });
    assert_eq!(bench.post("/mail/messages", Some("a"), &mail).await.status(), 201);

    let metrics = bench.client.get(bench.operator("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"simulated_requests_total{outcome="refused",service="payments"} 1"#,
        r#"simulated_requests_total{outcome="lost",service="payments"} 1"#,
        r#"simulated_ledger_entries_total{service="payments"} 4"#,
        r#"simulated_requests_in_flight{service="payments"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_service_works_on_as_many_requests_as_it_can_and_counts_them() {
    let bench = Bench::start().await;
    bench.profile("payments", json!({ "capacity": 2 })).await;
    bench.hold("before-effect", 2).await;
    let full = async {
        bench.held(2).await;
        assert_eq!(bench.charge("c").await.0, 503);
        bench.release("continue").await;
    };
    let (a, b, ()) = tokio::join!(bench.charge("a"), bench.charge("b"), full);
    assert_eq!((a.0, b.0), (201, 201));
    let status = bench.payments().await;
    assert_eq!(status, Status { requests: 3, in_flight: 0, most_in_flight: 2 });
    bench.client.delete(bench.operator("/payments/most")).send().await.unwrap();
    assert_eq!(bench.payments().await.most_in_flight, 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let bench = Bench::start().await;
    let changed = |member: &str, value: Value| {
        let mut charge = charge();
        charge[member] = value;
        charge
    };
    let too_long = "x".repeat(300);
    for (key, body, status, word) in [
        (Some("a"), changed("amountCents", json!(0)), 422, "amountCents"),
        (Some("a"), changed("cardLast4", json!("42")), 422, "cardLast4"),
        (Some("a"), changed("reference", json!("")), 422, "text"),
        (Some("a"), changed("unknown", json!(1)), 422, "unknown"),
        (Some("a"), changed("callbackUrl", json!("http://example.com")), 422, "callbackUrl"),
        (Some("a"), changed("cardLast4", json!("0002")), 402, "declined"),
        (Some(&*too_long), charge(), 400, "Idempotency-Key"),
        (Some(""), charge(), 400, "Idempotency-Key"),
    ] {
        let answer = bench.post("/payments/charges", key, &body).await;
        assert_eq!(answer.status(), status, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    assert_eq!(bench.charges().await, []);

    let profile = bench.put("/payments/profile", &json!({ "hungShare": 2 })).await;
    assert_eq!(profile.status(), 422);
    assert!(profile.text().await.unwrap().contains("hungShare must be from 0 to 1"));
    assert_eq!(bench.put("/payments/profile", &json!({ "hangShare": 1 })).await.status(), 422);
    let nobody = bench.put("/banks/profile", &json!({})).await;
    assert_eq!(nobody.status(), 404);
    assert!(nobody.text().await.unwrap().contains("there are payments, fraud, mail, carrier, callbacks"));
}

#[tokio::test]
async fn the_fraud_check_decides_and_the_carrier_knows_its_parcels() {
    let bench = Bench::start().await;
    for (card, decision) in [("4242", "approve"), ("0004", "deny")] {
        let check = json!({ "amountCents": 1, "cardLast4": card, "reference": "order 7" });
        let answer: Value = bench.post("/fraud/checks", None, &check).await.json().await.unwrap();
        assert_eq!(answer["decision"], decision);
    }
    let parcel = json!({ "reference": "order 7", "address": "1 Harbour Street" });
    for status in [201, 200] {
        let answer =
            bench.post("/carrier/shipments", Some("order 7".replace(' ', "-").as_str()), &parcel).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.json::<Value>().await.unwrap()["trackingNumber"], "T00000001");
    }
}

#[tokio::test]
async fn a_callback_is_signed_and_comes_until_it_is_accepted_and_sometimes_twice() {
    let bench = Bench::start().await;
    let received: Arc<Mutex<Vec<(HeaderMap, String)>>> = Arc::default();
    let receiver = {
        let received = received.clone();
        async move |headers: HeaderMap, body: String| {
            let mut received = received.lock().unwrap();
            received.push((headers, body));
            // The first time, the receiver is out of order.
            if received.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/callbacks", listener.local_addr().unwrap());
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/callbacks", post(receiver))).await },
    );

    let mut late = charge();
    late["callbackUrl"] = json!(url);
    let answer = bench.post("/payments/charges", Some("a"), &late).await;
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "pending");
    until(async || received.lock().unwrap().len() == 2).await;
    let again = bench.post("/payments/charges", Some("a"), &late).await;
    assert_eq!(again.json::<Value>().await.unwrap()["status"], "pending");
    assert_eq!(bench.read::<Status>("/callbacks").await.requests, 1, "one charge has one callback");
    bench.profile("callbacks", json!({ "lostShare": 1 })).await;
    bench.post("/payments/charges", Some("b"), &late).await;
    until(async || received.lock().unwrap().len() == 4).await;
    bench.profile("callbacks", json!({ "refusedShare": 1 })).await;
    bench.post("/payments/charges", Some("c"), &late).await;
    until(async || bench.read::<Status>("/callbacks").await.requests == 3).await;

    let received = received.lock().unwrap();
    assert_eq!(received.len(), 4);
    for ((headers, body), number) in received.iter().zip([1, 1, 2, 2]) {
        let head = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(head("webhook-id"), format!("evt_{number}"));
        let at = head("webhook-timestamp").parse().unwrap();
        assert_eq!(head("webhook-signature"), signature(SECRET, head("webhook-id"), at, body));
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&event["type"], &event["data"]["status"]),
            (&json!("charge.succeeded"), &json!("succeeded"))
        );
    }
}
