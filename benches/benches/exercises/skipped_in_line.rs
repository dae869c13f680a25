//! `skipped-in-line`: one piece is given back while 100, 1,000 and 10,000 buyers wait.

use benches::support::Growth;
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::catalogue::Exercise;
use target_app::domain::money::Cents;
use target_app::domain::sales::{self, NewSale};
use target_app::exercises::skipped_in_line::{EXERCISE, Service, Variant};

/// A sale whose pieces are all held, and buyers who wait for one.
pub struct Sale {
    pool: PgPool,
    id: Uuid,
}

impl Growth for Sale {
    const EXERCISE: &'static Exercise = &EXERCISE;
    const SIZES: [u64; 3] = [100, 1_000, 10_000];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    async fn with(pool: PgPool, waiting: u64) -> Self {
        let sale = NewSale {
            name: "Wanted".into(),
            stock: 1,
            price: Cents(1999),
            hold_seconds: 3_600,
            opens_at: None,
        };
        let id = sales::insert(&pool, &sale).await.expect("the sale").id;
        for (buyers, held) in [(1, true), (waiting as i64, false)] {
            let insert = "INSERT INTO reservations (id, sale_id, buyer_id, status, expires_at)
                 SELECT gen_random_uuid(), $1, gen_random_uuid(), CASE WHEN $3 THEN 'held' ELSE 'waiting' END,
                     CASE WHEN $3 THEN now() + interval '1 hour' END
                 FROM generate_series(1, $2)";
            sqlx::query(insert).bind(id).bind(buyers).bind(held).execute(&pool).await.expect("buyers");
        }
        sqlx::query("UPDATE sale_permits SET held = 1").execute(&pool).await.expect("the permit");
        // Statistics as after a day of work, instead of from autovacuum at some moment of the measurement.
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&pool).await.expect("statistics");
        Sale { pool, id }
    }

    async fn call(&self, service: &Service) {
        // The buyer goes to the end of the line, so that there are always as many.
        let give_back = "WITH gone AS (
                 UPDATE reservations SET status = 'cancelled', version = version + 1
                 WHERE sale_id = $1 AND status = 'held' RETURNING sale_id
             ), back AS (
                 INSERT INTO reservations (id, sale_id, buyer_id, status)
                 SELECT gen_random_uuid(), sale_id, gen_random_uuid(), 'waiting' FROM gone
             )
             UPDATE sale_permits SET held = 0 FROM gone WHERE sale_permits.sale_id = gone.sale_id";
        let given = sqlx::query(give_back).bind(self.id).execute(&self.pool).await.expect("a piece");
        assert_eq!(given.rows_affected(), 1, "somebody has the piece");
        let passed_on = service.pass_on(&self.pool, self.id).await.expect("somebody who waits");
        assert!(passed_on, "{service:?}");
    }

    fn statements(&self, variant: Variant) -> u64 {
        // After the one that gives the piece back. The lock is one more.
        match variant {
            Variant::Fixed => 1 + 7,
            _ => 1 + 6,
        }
    }
}
