//! `slow-order-list`: a list of 2, 20 and 200 orders.

use benches::support::Growth;
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::catalogue::Exercise;
use target_app::domain::orders::OrderPage;
use target_app::exercises::slow_order_list::{EXERCISE, Service, Variant};

/// A customer in a database of their own, to whom all orders belong.
pub struct Customer {
    pool: PgPool,
    id: Uuid,
    /// Orders in the list, and all their lines together.
    orders: u64,
    lines: u64,
}

impl Growth for Customer {
    const EXERCISE: &'static Exercise = &EXERCISE;
    const SIZES: [u64; 3] = [2, 20, 200];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    async fn with(pool: PgPool, orders: u64) -> Self {
        let everything =
            "UPDATE orders SET user_id = (SELECT min(id::text)::uuid FROM users) RETURNING user_id";
        let id = sqlx::query_scalar(everything).fetch_one(&pool).await.expect("the seeded orders");
        // Statistics as after a day of work, instead of from autovacuum at some moment of the measurement.
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&pool).await.expect("statistics");
        let lines: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM order_items
             WHERE order_id IN (SELECT id FROM orders ORDER BY created_at DESC, id DESC LIMIT $1)",
        )
        .bind(orders as i64)
        .fetch_one(&pool)
        .await
        .expect("the lines");
        Customer { pool, id, orders, lines: lines as u64 }
    }

    async fn call(&self, service: &Service) {
        let page = OrderPage::newest(self.orders as i64);
        let list = service.list(&self.pool, self.id, page).await.expect("a list");
        let lines: usize = list.iter().map(|order| order.items.len()).sum();
        assert_eq!((list.len() as u64, lines as u64), (self.orders, self.lines), "{service:?}");
    }

    fn statements(&self, variant: Variant) -> u64 {
        match variant {
            // The orders, the items of each order, the product of each item.
            Variant::Buggy | Variant::Parallel | Variant::Cached => 1 + self.orders + self.lines,
            Variant::Fixed => 2,
        }
    }
}
