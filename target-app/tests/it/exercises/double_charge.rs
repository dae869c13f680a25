use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use target_app::exercises::double_charge::{EXERCISE, Variant};
use uuid::Uuid;

use crate::support::{Outside, TestServer, database, json as body_of, pool, soon};

/// Servers that share a database and the outside services, and somebody who buys something.
struct Shop {
    servers: Vec<TestServer>,
    outside: Outside,
    pool: PgPool,
    checkout: Value,
}

impl Shop {
    async fn open(variant: Variant, servers: usize) -> Self {
        let (database, outside) = (database().await, Outside::start().await);
        let pool = pool(&database).await;
        let user: Uuid =
            sqlx::query_scalar("SELECT id FROM users ORDER BY id LIMIT 1").fetch_one(&pool).await.unwrap();
        let product: Uuid =
            sqlx::query_scalar("SELECT id FROM products WHERE stock > 10 AND price_cents > 0 LIMIT 1")
                .fetch_one(&pool)
                .await
                .unwrap();
        let checkout = json!({
            "userId": user,
            "items": [{ "productId": product, "quantity": 1 }],
            "paymentMethod": "card",
            "cardLast4": "4242",
        });
        let variant = format!("{}={}", EXERCISE.id, variant.entry().name);
        let mut running = Vec::new();
        for _ in 0..servers {
            running.push(
                TestServer::start(&database, &["--providers", &outside.url(), "--variant", &variant]).await,
            );
        }
        Shop { servers: running, outside, pool, checkout }
    }

    fn check_out(&self, server: usize) -> RequestBuilder {
        self.servers[server].post("/api/checkout").header("Idempotency-Key", "one-key").json(&self.checkout)
    }

    /// Requests that cannot go on before somebody else does.
    async fn waiting(&self) -> i64 {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'target-app' AND cardinality(pg_blocking_pids(pid)) > 0";
        sqlx::query_scalar(waiting).fetch_one(&self.pool).await.unwrap()
    }
}

/// How often a card is charged whose owner clicks twice, where each click reaches another server, and neither can go on before the other has
/// begun.
async fn charges_of_two_clicks(variant: Variant) -> usize {
    let shop = Shop::open(variant, 2).await;
    let mut other = shop.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE idempotency_keys").execute(&mut *other).await.unwrap();
    let clicks: Vec<_> = (0..2).map(|server| tokio::spawn(shop.check_out(server).send())).collect();
    // Code that needs no keys goes through.
    let begun = async {
        while shop.waiting().await + (clicks.iter().filter(|click| click.is_finished()).count() as i64) < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon("two clicks that are under way", begun).await;
    other.commit().await.unwrap();
    for click in clicks {
        let answer = soon("an answer to a click", click).await.unwrap().unwrap();
        assert!(matches!(answer.status(), StatusCode::CREATED | StatusCode::CONFLICT), "{variant:?}");
    }
    shop.outside.charges().await.len()
}

#[tokio::test]
async fn two_clicks_charge_a_card_twice_unless_one_of_them_has_the_key() {
    for variant in Variant::ALL.iter().copied() {
        let charges = charges_of_two_clicks(variant).await;
        let expected = if variant == Variant::Fixed { 1 } else { 2 };
        assert_eq!(charges, expected, "{variant:?}");
    }
}

/// What somebody gets who tries again after the server was killed between the charge and its record, and how often the card is charged.
async fn after_a_kill(variant: Variant) -> (StatusCode, usize) {
    let mut shop = Shop::open(variant, 2).await;
    shop.outside.hold("payments", "after-effect", 1).await;
    let cut_off = tokio::spawn(shop.check_out(0).send());
    shop.outside.held("payments", 1).await;
    shop.servers[0].child().kill().await.unwrap();
    assert!(cut_off.await.unwrap().is_err(), "nobody answers");
    shop.outside.release("payments").await;

    // The killed server holds the key for another second. That is ended by hand, so that nobody has to wait.
    sqlx::query("UPDATE idempotency_keys SET held_until = now()").execute(&shop.pool).await.unwrap();
    let again = soon("an answer", shop.check_out(1).send()).await.unwrap();
    (again.status(), shop.outside.charges().await.len())
}

#[tokio::test]
async fn who_tries_again_after_a_kill_gets_the_order_that_was_charged_from_the_fix_alone() {
    for variant in Variant::ALL.iter().copied() {
        let expected = match variant {
            Variant::Fixed => (StatusCode::CREATED, 1),
            // Its key is taken for ever, by nobody.
            Variant::CheckFirst => (StatusCode::CONFLICT, 1),
            _ => (StatusCode::CREATED, 2),
        };
        assert_eq!(after_a_kill(variant).await, expected, "{variant:?}");
    }
}

#[tokio::test]
async fn repeated_orders_are_counted_from_the_data() {
    for variant in [Variant::Buggy, Variant::Fixed] {
        let shop = Shop::open(variant, 1).await;
        for _ in 0..3 {
            body_of(shop.check_out(0).send().await.unwrap(), StatusCode::CREATED).await;
        }
        let expected = if variant == Variant::Fixed { 0.0 } else { 2.0 };
        assert_eq!(shop.servers[0].metric("stampede_repeated_orders").await, expected, "{variant:?}");
    }
}
