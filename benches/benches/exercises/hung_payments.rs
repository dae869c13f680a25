//! `hung-payments`: one payment with 100, 1,000 and 10,000 others in the table. The outside services answer at once, so this is what the
//! server's own part costs.

use std::cell::{LazyCell, OnceCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::support::Lab;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use simulated_providers::{Options, Providers as Simulated};
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::domain::money::Cents;
use target_app::domain::payments::{Payment, PaymentRequest};
use target_app::exercises::all_metrics;
use target_app::exercises::hung_payments::{EXERCISE, Screening, Service, Variant};
use target_app::providers::Providers;
use target_app::telemetry::{self, Switch, Telemetry};

/// Payments of other orders.
const PAYMENTS: [i64; 3] = [100, 1_000, 10_000];

const TOTAL: Cents = Cents(1999);

pub fn payment_by_payments(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(EXERCISE.id);
    group.sampling_mode(SamplingMode::Flat);
    for payments in PAYMENTS {
        let shop = LazyCell::new(|| {
            let pool = lab.database();
            lab.runtime.block_on(Shop::open(pool, payments))
        });
        for variant in Variant::ALL.iter().copied() {
            let service = OnceCell::new();
            group.bench_function(BenchmarkId::new(variant.entry().name, payments), |bencher| {
                let service = service.get_or_init(|| {
                    let service = Service::new(variant);
                    let (payment, statements) = lab.count_statements(shop.pay(&service));
                    lab.runtime.block_on(shop.put_back(&payment));
                    assert_eq!(
                        statements,
                        statements_a_payment(variant),
                        "statements of {variant:?} beside {payments} payments"
                    );
                    println!("{statements} statements a payment");
                    service
                });
                bencher.to_async(&lab.runtime).iter_custom(async |payments| {
                    let mut took = Duration::ZERO;
                    for _ in 0..payments {
                        let start = Instant::now();
                        let payment = shop.pay(service).await;
                        took += start.elapsed();
                        shop.put_back(&payment).await;
                    }
                    took
                });
            });
        }
    }
    group.finish();
    lab.close();
}

/// The order is read, the payment recorded and read, settled with its order, and read again. Of a transaction, sqlx reports the `COMMIT`
/// and not the `BEGIN`.
fn statements_a_payment(variant: Variant) -> u64 {
    match variant {
        Variant::Buggy | Variant::BiggerPool | Variant::ShortTimeout => 6,
        Variant::Fixed => 5,
    }
}

/// A database with an order to be paid, and the outside services.
struct Shop {
    pool: PgPool,
    providers: Providers,
    request: PaymentRequest,
    _simulated: Simulated,
}

impl Shop {
    async fn open(pool: PgPool, payments: i64) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options { listen: any_port, operator_listen: any_port, seed: 42, secret: Vec::new() };
        let simulated = Simulated::start(&options).await.expect("outside services");
        let url = format!("http://{}", simulated.address).parse().expect("a URL");
        let options = telemetry::Options { run_id: String::new(), telemetry: Switch::Off, otlp: None };
        let telemetry = Telemetry::start(&options, all_metrics(), Duration::from_secs(300));
        let telemetry = Arc::new(telemetry.expect("telemetry that is off"));
        let providers = Providers::new(Some(url), telemetry).expect("an HTTP client");

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
        .bind(payments)
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
        Shop { pool, providers, request, _simulated: simulated }
    }

    async fn pay(&self, service: &Service) -> Payment {
        let paying = service.process(&self.pool, &self.providers, &self.request, Screening::FraudCheck);
        let payment = paying.await.expect("a payment");
        assert_eq!((&*payment.status, payment.order_id), ("succeeded", self.request.order_id), "{service:?}");
        payment
    }

    /// Takes a payment away again, so that the table stays as large as it is, and its order can be paid once more.
    async fn put_back(&self, payment: &Payment) {
        let paid: i64 = sqlx::query_scalar(
            "WITH payment AS (DELETE FROM payments WHERE id = $1 AND status = 'succeeded' RETURNING order_id), paid AS (
                 UPDATE orders SET status = 'pending' FROM payment WHERE id = order_id AND status = 'paid' RETURNING id
             )
             SELECT count(*) FROM paid",
        )
        .bind(payment.id)
        .fetch_one(&self.pool)
        .await
        .expect("the payment");
        assert_eq!(paid, 1, "an order is paid when its payment has succeeded");
    }
}
