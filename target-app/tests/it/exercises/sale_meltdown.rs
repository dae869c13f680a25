use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use target_app::exercises::sale_meltdown::{EXERCISE, Variant};
use uuid::Uuid;

use crate::support::{Outside, TestServer, database, json as body_of, pool, soon, text};

/// Servers that share a database and the outside services, and a sale.
struct Sale {
    servers: Vec<TestServer>,
    outside: Outside,
    pool: PgPool,
    path: String,
}

impl Sale {
    async fn open(variant: Variant, servers: usize, stock: i64) -> Self {
        let (database, outside) = (database().await, Outside::start().await);
        let variant = format!("{}={}", EXERCISE.id, variant.entry().name);
        let mut running = Vec::new();
        for _ in 0..servers {
            running.push(
                TestServer::start(&database, &["--providers", &outside.url(), "--variant", &variant]).await,
            );
        }
        let sale = json!({ "name": "Limited edition", "stock": stock, "price": 19.99, "holdSeconds": 600 });
        let announced = running[0].post("/sales").json(&sale).send().await.unwrap();
        let id = text(&body_of(announced, StatusCode::CREATED).await["id"]);
        let path = format!("/sales/{id}/reservations");
        Sale { servers: running, outside, pool: pool(&database).await, path }
    }

    /// A request of a buyer who has not come before.
    fn reserve(&self, server: usize) -> RequestBuilder {
        self.servers[server].post(&self.path).header("X-User-Id", Uuid::now_v7().to_string())
    }

    async fn reserved(&self, server: usize) -> Value {
        body_of(self.reserve(server).send().await.unwrap(), StatusCode::ACCEPTED).await
    }

    /// Requests that cannot go on before somebody else does.
    async fn waiting(&self) -> i64 {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'target-app' AND cardinality(pg_blocking_pids(pid)) > 0";
        sqlx::query_scalar(waiting).fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn a_buyer_waits_for_the_mail_of_another_in_the_buggy_variant_alone() {
    for variant in Variant::ALL.iter().copied() {
        let sale = Sale::open(variant, 1, 10).await;
        sale.outside.hold("mail", "before-effect", 1).await;
        let first = tokio::spawn(sale.reserve(0).send());
        sale.outside.held("mail", 1).await;
        // The first one's mail is on its way, and whether it has an answer is up to the variant.
        let mut second = tokio::spawn(sale.reserve(0).send());
        let stuck = async {
            while sale.waiting().await == 0 {
                tokio::task::yield_now().await;
            }
        };
        let waits = tokio::select! {
            answered = &mut second => { answered.unwrap().unwrap(); false }
            () = soon("an answer, or a request that waits", stuck) => true,
        };
        assert_eq!(waits, variant == Variant::Buggy, "{variant:?}");
        sale.outside.release("mail").await;
        if waits {
            second.await.unwrap().unwrap();
        }
        soon("an answer to the first", first).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_lock_of_the_sale_is_held_for_several_statements_by_all_but_the_fix() {
    let route = "/sales/{id}/reservations";
    let series = format!(r#"stampede_db_queries_per_request_sum{{http_route="{route}"}}"#);
    for variant in [Variant::Buggy, Variant::GlobalLock, Variant::Fixed] {
        let sale = Sale::open(variant, 1, 10).await;
        let before = sale.servers[0].metric(&series).await;
        sale.reserved(0).await;
        let statements = sale.servers[0].metric(&series).await - before;
        assert_eq!(statements == 1.0, variant == Variant::Fixed, "{variant:?}: {statements}");
    }
}

#[tokio::test]
async fn two_servers_sell_one_piece_twice_where_each_counts_for_itself() {
    for variant in Variant::ALL.iter().copied() {
        let sale = Sale::open(variant, 2, 1).await;
        let held = [sale.reserved(0).await, sale.reserved(1).await]
            .iter()
            .filter(|one| one["status"] == "held")
            .count();
        assert_eq!(held, if variant == Variant::MemoryCounter { 2 } else { 1 }, "{variant:?}");
    }
}
