//! `double-charge`: one checkout with 100, 1,000 and 10,000 keys of others in the table. The outside services answer at once, so this is what the
//! server's own part costs.

use std::cell::Cell;

use benches::support::{Growth, Outside};
use sqlx::PgPool;
use target_app::catalogue::Exercise;
use target_app::domain::checkouts::{Answer, Checkout};
use target_app::domain::orders::CartItem;
use target_app::exercises::double_charge::{self, EXERCISE, Service, Variant};

/// A database with somebody who buys one thing, and the outside services.
pub struct Shop {
    pool: PgPool,
    outside: Outside,
    checkout: Checkout,
    /// Checkouts until now: each has a key of its own, since one of the variants never forgets any.
    checkouts: Cell<u64>,
}

impl Shop {
    fn key(&self) -> String {
        format!("measured-{}", self.checkouts.get())
    }
}

impl Growth for Shop {
    const EXERCISE: &'static Exercise = &EXERCISE;
    /// Keys of other checkouts.
    const SIZES: [u64; 3] = [100, 1_000, 10_000];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    async fn with(pool: PgPool, keys: u64) -> Self {
        let user_id = sqlx::query_scalar("SELECT id FROM users ORDER BY id LIMIT 1").fetch_one(&pool).await;
        let product_id = sqlx::query_scalar(
            "UPDATE products SET stock = 1000000
             WHERE id = (SELECT id FROM products WHERE price_cents > 0 ORDER BY id LIMIT 1) RETURNING id",
        );
        let product_id = product_id.fetch_one(&pool).await.expect("a product");
        let checkout = Checkout {
            user_id: user_id.expect("a user"),
            items: vec![CartItem { product_id, quantity: 1 }],
            payment_method: "card".into(),
            card_last4: "4242".into(),
        };
        sqlx::query(
            "INSERT INTO idempotency_keys (key, request, answer)
             SELECT gen_random_uuid()::text, $1, '\"declined\"' FROM generate_series(1, $2)",
        )
        .bind(sqlx::types::Json(&checkout))
        .bind(keys as i64)
        .execute(&pool)
        .await
        .expect("the keys");
        // Statistics as after a day of work, instead of from autovacuum at some moment of the measurement.
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&pool).await.expect("statistics");
        Shop { pool, outside: Outside::start().await, checkout, checkouts: Cell::new(0) }
    }

    async fn call(&self, service: &Service) {
        let shop = double_charge::Shop { pool: &self.pool, providers: &self.outside.providers };
        let answer = service.check_out(&shop, &self.key(), &self.checkout).await.expect("an answer");
        let Answer::Paid(order) = answer else { panic!("{service:?}: the card was declined") };
        assert_eq!((&*order.status, order.items.len()), ("paid", 1), "{service:?}");
    }

    async fn put_back(&self) {
        let forget = sqlx::query("DELETE FROM idempotency_keys WHERE key = $1").bind(self.key());
        forget.execute(&self.pool).await.expect("the key");
        self.checkouts.set(self.checkouts.get() + 1);
    }

    fn statements(&self, variant: Variant) -> u64 {
        match variant {
            Variant::Buggy | Variant::Remembered => 5,
            Variant::CheckFirst => 8,
            Variant::KeyAfter => 8,
            Variant::Fixed => 10,
        }
    }
}
