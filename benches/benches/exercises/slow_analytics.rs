//! `slow-analytics`: the sums of a restaurant with 100, 1,000 and 10,000 orders.

use std::cell::{LazyCell, OnceCell};
use std::collections::HashMap;

use benches::support::Lab;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::exercises::slow_analytics::{Analytics, EXERCISE, Service, Variant};

/// Orders of the restaurant. The seed gives it the first of these.
const ORDERS: [u64; 3] = [100, 1_000, 10_000];

pub fn analytics_by_orders(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(EXERCISE.id);
    // A call of the slowest takes a second: each sample is one call of it, not a rising number of calls.
    group.sampling_mode(SamplingMode::Flat);
    for orders in ORDERS {
        let restaurant = LazyCell::new(|| {
            let pool = lab.database();
            lab.runtime.block_on(Restaurant::with_orders(pool, orders))
        });
        for variant in Variant::ALL.iter().copied() {
            let service = Service::new(variant);
            let checked = OnceCell::new();
            let id = BenchmarkId::new(variant.entry().name, orders);
            group.bench_function(id, |bencher| {
                let Restaurant { pool, id, lines, sums } = &*restaurant;
                checked.get_or_init(|| {
                    let (_, statements) = lab.count_statements(service.analytics(pool, *id));
                    let expected = match variant {
                        // The orders, the lines of each order, the name of each line's dish.
                        Variant::Buggy | Variant::Parallel => 1 + orders + lines,
                        Variant::Fixed => 1,
                    };
                    assert_eq!(statements, expected, "statements of {variant:?} for {orders} orders");
                    println!("{statements} statements a call");
                });
                bencher.to_async(&lab.runtime).iter(async || {
                    let answer = service.analytics(pool, *id).await.expect("an answer");
                    assert_eq!(Sums::from(&answer), *sums, "{variant:?}");
                });
            });
        }
    }
    group.finish();
    lab.close();
}

/// The busy restaurant in a database of its own.
struct Restaurant {
    pool: PgPool,
    id: Uuid,
    /// Lines of all its orders together.
    lines: u64,
    sums: Sums,
}

/// What an answer must say.
#[derive(Debug, PartialEq)]
struct Sums {
    orders: i64,
    revenue_cents: i64,
    /// Portions of the dish that sold best.
    best_seller: i64,
}

impl From<&Analytics> for Sums {
    fn from(answer: &Analytics) -> Self {
        Sums {
            orders: answer.total_orders,
            revenue_cents: answer.total_revenue.0,
            best_seller: answer.top_items.first().map_or(0, |item| item.quantity),
        }
    }
}

impl Restaurant {
    /// Copies the seeded orders until there are so many, and sums them up from the plain lines.
    async fn with_orders(pool: PgPool, orders: u64) -> Self {
        let id: Uuid = sqlx::query_scalar(
            "SELECT restaurant_id FROM restaurant_orders JOIN restaurants ON restaurants.id = restaurant_id
             WHERE tenant_id = 'tenant-1' GROUP BY restaurant_id ORDER BY count(*) DESC LIMIT 1",
        )
        .fetch_one(&pool)
        .await
        .expect("the seeded restaurant");
        // So that the orders that count are exactly as many as the benchmark says.
        sqlx::query(
            "DELETE FROM restaurant_orders WHERE restaurant_id = $1 AND id NOT IN (
                 SELECT id FROM restaurant_orders WHERE restaurant_id = $1 AND status <> 'cancelled' ORDER BY id LIMIT $2
             )",
        )
        .bind(id)
        .bind(ORDERS[0] as i64)
        .execute(&pool)
        .await
        .expect("fewer orders");
        sqlx::query(
            "WITH copies AS (
                 SELECT o.id AS original, gen_random_uuid() AS id
                 FROM restaurant_orders AS o, generate_series(2, $2 / $3) WHERE o.restaurant_id = $1
             ), placed AS (
                 INSERT INTO restaurant_orders (id, restaurant_id, status, total_cents, created_at)
                 SELECT copies.id, o.restaurant_id, o.status, o.total_cents, o.created_at
                 FROM copies JOIN restaurant_orders AS o ON o.id = copies.original
             )
             INSERT INTO restaurant_order_items (order_id, menu_item_id, quantity, unit_price_cents)
             SELECT copies.id, i.menu_item_id, i.quantity, i.unit_price_cents
             FROM copies JOIN restaurant_order_items AS i ON i.order_id = copies.original",
        )
        .bind(id)
        .bind(orders as i64)
        .bind(ORDERS[0] as i64)
        .execute(&pool)
        .await
        .expect("the copies");
        // Statistics as after a day of work, instead of from autovacuum at some moment of the measurement.
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&pool).await.expect("statistics");

        let lines: Vec<(Uuid, Uuid, i32, i64)> = sqlx::query_as(
            "SELECT order_id, menu_item_id, quantity, unit_price_cents
             FROM restaurant_order_items JOIN restaurant_orders ON id = order_id WHERE restaurant_id = $1",
        )
        .bind(id)
        .fetch_all(&pool)
        .await
        .expect("the lines");
        let mut portions: HashMap<Uuid, i64> = HashMap::new();
        let mut placed: Vec<Uuid> = Vec::new();
        let mut revenue_cents = 0;
        for (order, dish, quantity, price) in &lines {
            *portions.entry(*dish).or_default() += i64::from(*quantity);
            placed.push(*order);
            revenue_cents += i64::from(*quantity) * price;
        }
        placed.sort_unstable();
        placed.dedup();
        assert_eq!(placed.len() as u64, orders, "orders of the restaurant");
        let sums = Sums {
            orders: placed.len() as i64,
            revenue_cents,
            best_seller: portions.into_values().max().unwrap_or(0),
        };
        Restaurant { pool, id, lines: lines.len() as u64, sums }
    }
}
