use sqlx::PgPool;
use target_app::domain::money::Cents;
use target_app::domain::sales::{self, NewSale};
use target_app::exercises::skipped_in_line::{Service, Variant};
use uuid::Uuid;

use crate::support::{database, pool, soon};

/// A sale of two pieces, which two buyers have given back, and three buyers who wait.
async fn given_back(pool: &PgPool) -> Uuid {
    let sale = NewSale {
        name: "Limited edition".into(),
        stock: 2,
        price: Cents(1999),
        hold_seconds: 600,
        opens_at: None,
    };
    let sale = sales::insert(pool, &sale).await.unwrap().id;
    for _ in 0..3 {
        sales::insert_reservation(pool, sale, Uuid::now_v7(), false).await.unwrap();
    }
    sale
}

/// The status of each buyer in line, in the sequence of arrival, and the pieces that count as held, after two releases that met: both had
/// come to the first in line before either could go on.
async fn two_releases_meet(variant: Variant) -> (Vec<String>, i64) {
    let database = database().await;
    let pool = pool(&database).await;
    let sale = given_back(&pool).await;
    let mut other = pool.begin().await.unwrap();
    let lock = "SELECT FROM reservations ORDER BY ticket LIMIT 1 FOR UPDATE";
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    let releases: Vec<_> = (0..2)
        .map(|_| {
            let (pool, service) = (pool.clone(), Service::new(variant));
            tokio::spawn(async move { service.pass_on(&pool, sale).await })
        })
        .collect();
    let both_wait = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() < 2 {}
    };
    soon("two releases that wait", both_wait).await;
    other.commit().await.unwrap();
    for release in releases {
        soon("the end of a release", release).await.unwrap().unwrap();
    }
    let line = "SELECT status FROM reservations ORDER BY ticket";
    let line = sqlx::query_scalar(line).fetch_all(&pool).await.unwrap();
    let held = sqlx::query_scalar("SELECT held FROM sale_permits").fetch_one(&pool).await.unwrap();
    (line, held)
}

#[tokio::test]
async fn of_two_releases_that_meet_one_is_lost_or_skips_somebody_unless_it_is_fixed() {
    for variant in Variant::ALL.iter().copied() {
        let (line, counted) = two_releases_meet(variant).await;
        let expected = match variant {
            Variant::Buggy => ["held", "waiting", "waiting"],
            Variant::NewestFirstRetry => ["held", "waiting", "held"],
            _ => ["held", "held", "waiting"],
        };
        assert_eq!(line, expected, "{variant:?}");
        assert_eq!(counted, 2, "{variant:?}");
    }
}
