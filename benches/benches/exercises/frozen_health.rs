//! `frozen-health`: reports of 12, 120 and 1,200 orders. What a report costs, and how long another task waits beside it.

use std::cell::LazyCell;
use std::time::{Duration, Instant};

use benches::support::Lab;
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode};
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use target_app::domain::money::Cents;
use target_app::domain::orders::{Order, OrderItem};
use target_app::domain::report::{OrderHistory, ReportWriter};
use target_app::domain::users::User;
use target_app::exercises::frozen_health::{EXERCISE, Service, Variant};

/// Orders in the report, a page each.
const ORDERS: [usize; 3] = [12, 120, 1_200];

pub fn report_by_orders(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(EXERCISE.id);
    group.sampling_mode(SamplingMode::Flat);
    for orders in ORDERS {
        let example = LazyCell::new(|| Example::of(orders));
        for variant in Variant::ALL.iter().copied() {
            let service = Service::new(variant);
            let id = BenchmarkId::new(variant.entry().name, orders);
            group.bench_function(id, |bencher| {
                let example = &*example;
                let make = async |history| {
                    let report = service.render(history).await.expect("a report");
                    assert!(report == example.report, "{variant:?} did not give the whole report");
                };
                bencher.to_async(&lab.runtime).iter_batched(
                    || example.history.clone(),
                    make,
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
    lab.close();
}

pub fn wait_by_orders(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(format!("{}-wait", EXERCISE.id));
    group.sampling_mode(SamplingMode::Flat);
    for orders in ORDERS {
        let example = LazyCell::new(|| Example::of(orders));
        for variant in Variant::ALL.iter().copied() {
            let id = BenchmarkId::new(variant.entry().name, orders);
            group.bench_function(id, |bencher| {
                let example = &*example;
                bencher.to_async(&lab.runtime).iter_custom(async |reports| {
                    let mut waits = Duration::ZERO;
                    for _ in 0..reports {
                        waits += wait_beside(variant, example).await;
                    }
                    waits
                });
            });
        }
    }
    group.finish();
    lab.close();
}

/// How long a task of the same thread waits for its turn, on average over all moments at which it could become ready
/// while the report is made.
async fn wait_beside(variant: Variant, example: &Example) -> Duration {
    let start = Instant::now();
    let (service, history) = (Service::new(variant), example.history.clone());
    let report = tokio::spawn(async move { service.render(history).await });
    let mut turn = start;
    // Who comes during a gap waits half of it, and a gap is met as often as it is long.
    let mut waits = 0.0;
    while !report.is_finished() {
        tokio::task::yield_now().await;
        let gap = turn.elapsed();
        turn += gap;
        waits += gap.as_secs_f64().powi(2) / 2.0;
    }
    let report = report.await.expect("the task ends").expect("a report");
    assert!(report == example.report, "{variant:?} did not give the whole report");
    Duration::from_secs_f64(waits / (turn - start).as_secs_f64())
}

/// A user's orders, and what their report must be.
struct Example {
    history: OrderHistory,
    report: Vec<u8>,
}

impl Example {
    fn of(orders: usize) -> Self {
        let created_at: DateTime<Utc> = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let user = User {
            id: Uuid::from_u128(1),
            email: "reader@example.com".into(),
            name: "Zoë Archer".into(),
            created_at,
        };
        let item = |n: usize| OrderItem {
            product_id: Uuid::from_u128(n as u128),
            name: format!("Product {n}"),
            quantity: n as i32,
            unit_price: Cents(1999),
        };
        let order = |n: usize| Order {
            id: Uuid::from_u128(n as u128),
            user_id: user.id,
            status: "paid".into(),
            total: Cents(6 * 1999),
            created_at,
            items: (1..=3).map(item).collect(),
        };
        let history = OrderHistory { orders: (0..orders).map(order).collect(), user };
        let mut writer = ReportWriter::new(&history.user);
        history.orders.iter().for_each(|order| writer.add(order));
        let report = writer.finish();
        let pages = format!("/Count {orders}");
        assert!(report.starts_with(b"%PDF-1.") && report.trim_ascii_end().ends_with(b"%%EOF"));
        assert!(report.windows(pages.len()).any(|part| part == pages.as_bytes()), "{pages}");
        Example { history, report }
    }
}
