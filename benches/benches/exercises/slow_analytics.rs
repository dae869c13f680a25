//! `slow-analytics`: the sums of a restaurant with 100, 1,000 and 10,000 orders.

use std::collections::HashMap;

use benches::support::Growth;
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::catalogue::Exercise;
use target_app::exercises::slow_analytics::{Analytics, EXERCISE, Service, Variant};

/// The busy restaurant in a database of its own.
pub struct Restaurant {
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

impl Growth for Restaurant {
    const EXERCISE: &'static Exercise = &EXERCISE;
    /// Orders of the restaurant. The seed gives it the first of these.
    const SIZES: [u64; 3] = [100, 1_000, 10_000];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    /// Copies the seeded orders until there are so many, and sums them up from the plain lines.
    async fn with(pool: PgPool, orders: u64) -> Self {
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
        .bind(Self::SIZES[0] as i64)
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
        .bind(Self::SIZES[0] as i64)
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

    async fn call(&self, service: &Service) {
        let answer = service.analytics(&self.pool, self.id).await.expect("an answer");
        assert_eq!(Sums::from(&answer), self.sums, "{service:?}");
    }

    fn statements(&self, variant: Variant) -> u64 {
        match variant {
            // The orders, the lines of each order, the name of each line's dish.
            Variant::Buggy | Variant::Parallel => 1 + self.sums.orders as u64 + self.lines,
            Variant::Fixed => 1,
        }
    }
}
