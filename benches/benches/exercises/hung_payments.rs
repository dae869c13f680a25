//! `hung-payments`: one payment with 100, 1,000 and 10,000 others in the table. The outside services answer at once, so this is what the
//! server's own part costs.

use benches::support::{Growth, Outside};
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::catalogue::Exercise;
use target_app::domain::money::Cents;
use target_app::domain::payments::PaymentRequest;
use target_app::exercises::hung_payments::{EXERCISE, Screening, Service, Variant};

const TOTAL: Cents = Cents(1999);

/// A database with an order to be paid, and the outside services.
pub struct Shop {
    pool: PgPool,
    outside: Outside,
    request: PaymentRequest,
}

impl Growth for Shop {
    const EXERCISE: &'static Exercise = &EXERCISE;
    /// Payments of other orders.
    const SIZES: [u64; 3] = [100, 1_000, 10_000];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    async fn with(pool: PgPool, payments: u64) -> Self {
        let order_id = Uuid::from_u128(1);
        // The others have numbers of charges that the provider does not come to.
        sqlx::query(
            "WITH buyer AS (SELECT id FROM users ORDER BY id LIMIT 1), wanted AS (
                 INSERT INTO orders (id, user_id, status, total_cents, created_at)
                 SELECT $1, buyer.id, 'pending', $2, now() FROM buyer
             ), others AS (
                 INSERT INTO orders (id, user_id, status, total_cents, created_at)
                 SELECT gen_random_uuid(), buyer.id, 'paid', $2, now() FROM buyer, generate_series(1, $3) RETURNING id
             )
             INSERT INTO payments (id, order_id, amount_cents, card_last4, status, charge)
             SELECT gen_random_uuid(), id, $2, '4242', 'succeeded', 1000000000 + row_number() OVER () FROM others",
        )
        .bind(order_id)
        .bind(TOTAL)
        .bind(payments as i64)
        .execute(&pool)
        .await
        .expect("the payments");
        // Statistics as after a day of work, instead of from autovacuum at some moment of the measurement.
        sqlx::raw_sql("VACUUM (ANALYZE) orders, payments").execute(&pool).await.expect("statistics");
        let request = PaymentRequest {
            order_id,
            amount: TOTAL,
            payment_method: "card".into(),
            card_last4: "4242".into(),
        };
        Shop { pool, outside: Outside::start().await, request }
    }

    async fn call(&self, service: &Service) {
        let providers = &self.outside.providers;
        let paying = service.process(&self.pool, providers, &self.request, Screening::FraudCheck);
        let payment = paying.await.expect("a payment");
        assert_eq!((&*payment.status, payment.order_id), ("succeeded", self.request.order_id), "{service:?}");
    }

    /// Takes the payment away again, so that its order can be paid once more.
    async fn put_back(&self) {
        let paid: i64 = sqlx::query_scalar(
            "WITH payment AS (DELETE FROM payments WHERE order_id = $1 AND status = 'succeeded' RETURNING order_id), paid AS (
                 UPDATE orders SET status = 'pending' FROM payment WHERE id = order_id AND status = 'paid' RETURNING id
             )
             SELECT count(*) FROM paid",
        )
        .bind(self.request.order_id)
        .fetch_one(&self.pool)
        .await
        .expect("the payment");
        assert_eq!(paid, 1, "an order is paid when its payment has succeeded");
    }

    /// The order is read, the payment recorded and read, settled with its order, and read again. Of a transaction, sqlx reports the
    /// `COMMIT` and not the `BEGIN`.
    fn statements(&self, variant: Variant) -> u64 {
        match variant {
            Variant::Buggy | Variant::BiggerPool | Variant::ShortTimeout => 6,
            Variant::Fixed => 5,
        }
    }
}
