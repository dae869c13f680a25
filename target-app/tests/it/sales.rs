//! Sales: what holds whatever buyers and servers do at the same time.

use futures::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Outside, TestServer, database, json as body_of, pool, soon, text};

/// Servers that share a database, and a sale.
struct Sale {
    servers: Vec<TestServer>,
    outside: Outside,
    pool: PgPool,
    id: Uuid,
}

impl Sale {
    async fn open(servers: usize, stock: i64) -> Self {
        let (database, outside) = (database().await, Outside::start().await);
        let mut running = Vec::new();
        for _ in 0..servers {
            running.push(TestServer::start(&database, &["--providers", &outside.url()]).await);
        }
        let sale = json!({ "name": "Limited edition", "stock": stock, "price": 19.99, "holdSeconds": 600 });
        let sale =
            body_of(running[0].post("/sales").json(&sale).send().await.unwrap(), StatusCode::CREATED).await;
        let id = text(&sale["id"]).parse().unwrap();
        Sale { servers: running, outside, pool: pool(&database).await, id }
    }

    async fn ask(&self, server: usize, method: Method, path: &str, buyer: Uuid) -> (StatusCode, Value) {
        let request = self.servers[server].request(method, path).header("X-User-Id", buyer.to_string());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn reserve(&self, server: usize, buyer: Uuid) -> Value {
        let path = format!("/sales/{}/reservations", self.id);
        let (status, body) = self.ask(server, Method::POST, &path, buyer).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body
    }

    async fn cancel(&self, server: usize, reservation: &Value, buyer: Uuid) -> (StatusCode, Value) {
        self.ask(server, Method::DELETE, &path_of(reservation), buyer).await
    }

    /// Waits until a reservation has this status.
    async fn becomes(&self, status: &str, reservation: &Value, buyer: Uuid) -> Value {
        let path = path_of(reservation);
        let coming = async {
            loop {
                let (code, body) = self.ask(0, Method::GET, &path, buyer).await;
                assert_eq!(code, StatusCode::OK, "{body}");
                if body["status"] == status {
                    return body;
                }
            }
        };
        soon(status, coming).await
    }

    /// Has the holds of these buyers end now.
    async fn end_holds(&self, buyers: &[Uuid]) {
        let end = "UPDATE reservations SET expires_at = now() WHERE buyer_id = ANY($1) AND status = 'held'";
        sqlx::query(end).bind(buyers).execute(&self.pool).await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).bind(self.id).fetch_one(&self.pool).await.unwrap()
    }
}

fn path_of(reservation: &Value) -> String {
    format!("/reservations/{}", text(&reservation["id"]))
}

#[tokio::test]
async fn a_hold_that_is_over_cannot_be_cancelled_and_its_piece_goes_to_whoever_waits() {
    let sale = Sale::open(1, 1).await;
    let [first, second] = [(); 2].map(|()| Uuid::now_v7());
    let held = sale.reserve(0, first).await;
    let waiting = sale.reserve(0, second).await;
    assert_eq!((&held["status"], &waiting["position"]), (&json!("held"), &json!(1)));

    sale.end_holds(&[first]).await;
    let (status, problem) = sale.cancel(0, &held, first).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text(&problem["error"]).contains("expired"), "{problem}");
    assert!(sale.becomes("held", &waiting, second).await["expiresAt"].is_string());
    let again = sale.reserve(0, first).await;
    assert_eq!((&again["status"], &again["position"]), (&json!("waiting"), &json!(1)));
    assert_ne!(again["id"], held["id"]);
}

#[tokio::test]
async fn clicks_of_one_buyer_that_meet_get_one_reservation() {
    let sale = Sale::open(2, 10).await;
    let buyer = Uuid::now_v7();
    let answers = join_all((0..16).map(|click| sale.reserve(click % 2, buyer))).await;
    assert!(answers.iter().all(|answer| answer["id"] == answers[0]["id"]), "{answers:?}");
    assert_eq!(sale.count("SELECT held FROM sale_permits WHERE sale_id = $1").await, 1);
}

#[tokio::test]
async fn a_confirmation_waits_until_the_mailer_is_back_and_is_sent_once() {
    let sale = Sale::open(2, 1).await;
    sale.outside.behave("mail", json!({ "failedShare": 1.0 })).await;
    let held = sale.reserve(0, Uuid::now_v7()).await;
    let tried = async {
        while sale.count("SELECT count(*) FROM sale_jobs WHERE attempts > 1 AND $1 IS NOT NULL").await == 0 {}
    };
    soon("a second attempt", tried).await;
    sale.outside.behave("mail", json!({})).await;
    let done = async { while sale.count("SELECT count(*) FROM sale_jobs WHERE $1 IS NOT NULL").await > 0 {} };
    soon("a confirmation that is sent", done).await;
    let sent = sale.outside.ledger("mail").await;
    assert_eq!(sent.iter().map(|entry| text(&entry.request["to"])).collect::<Vec<_>>(), [text(&held["id"])]);
}

/// Transitions of both kinds of rows meet in many orders; a deadlock or a lost permit would show.
#[tokio::test]
async fn permits_and_reservations_agree_after_everything_has_happened_at_once() {
    let sale = Sale::open(3, 7).await;
    let buyers: Vec<Uuid> = (0..24).map(|_| Uuid::now_v7()).collect();
    for round in 0..8 {
        let mut rng = Pcg64::seed_from_u64(round);
        let mut doing = Vec::new();
        for buyer in &buyers {
            let (server, cancels, ends) =
                (rng.random_range(0..3), rng.random_bool(0.5), rng.random_bool(0.3));
            let sale = &sale;
            doing.push(async move {
                let reservation = sale.reserve(server, *buyer).await;
                if ends {
                    sale.end_holds(&[*buyer]).await;
                }
                if cancels {
                    let both = [(server + 1) % 3, (server + 2) % 3]
                        .map(|other| sale.cancel(other, &reservation, *buyer));
                    for (status, body) in join_all(both).await {
                        assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status), "{status} {body}");
                    }
                }
                sale.reserve((server + 1) % 3, *buyer).await;
            });
        }
        join_all(doing).await;

        // What is free is passed on.
        let settled = async {
            let unsettled = "SELECT count(*) FROM sale_permits WHERE sale_id = $1 AND (held < stock
                 OR EXISTS (SELECT FROM reservations WHERE status = 'held' AND expires_at <= now()))";
            while sale.count(unsettled).await > 0 {}
        };
        soon("all pieces held", settled).await;
        assert_eq!(sale.count("SELECT held FROM sale_permits WHERE sale_id = $1").await, 7);
        let held = "SELECT count(*) FROM reservations WHERE sale_id = $1 AND status = 'held'";
        assert_eq!(sale.count(held).await, 7);
        let active = "SELECT count(DISTINCT buyer_id) FROM reservations WHERE sale_id = $1 AND status IN ('held', 'waiting')";
        assert_eq!(sale.count(active).await, 24);
    }
}
