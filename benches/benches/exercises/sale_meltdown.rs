//! `sale-meltdown`: 1, 8 and 32 buyers at once. The mailer answers at once, so this is what the server's own part costs.

use std::cell::OnceCell;

use benches::support::{Lab, Outside};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use futures::future::join_all;
use sqlx::PgPool;
use sqlx::types::Uuid;
use target_app::domain::money::Cents;
use target_app::domain::sales::{self, NewSale};
use target_app::exercises::sale_meltdown::{Desk, EXERCISE, Service, Variant};

/// Buyers who come at once.
const BUYERS: [u64; 3] = [1, 8, 32];

/// More pieces than any run reserves.
const STOCK: i64 = 1_000_000_000;

pub fn reserve_by_buyers(criterion: &mut Criterion) {
    let lab = Lab::open();
    let mut group = criterion.benchmark_group(EXERCISE.id);
    group.sampling_mode(SamplingMode::Flat);
    for buyers in BUYERS {
        for variant in Variant::ALL.iter().copied() {
            // A database for each, so that none works among the reservations of another.
            let sale = OnceCell::new();
            let id = BenchmarkId::new(variant.entry().name, buyers);
            group.bench_function(id, |bencher| {
                let sale = sale.get_or_init(|| {
                    let pool = lab.database();
                    let sale = lab.runtime.block_on(Sale::open(variant, pool));
                    let ((), statements) = lab.count_statements(sale.reserve(buyers));
                    println!("{statements} statements for {buyers} buyers");
                    sale
                });
                bencher.to_async(&lab.runtime).iter(|| sale.reserve(buyers));
            });
        }
    }
    group.finish();
    lab.close();
}

/// A database with a sale that everybody wants something of, and the outside services.
struct Sale {
    variant: Variant,
    service: Service,
    pool: PgPool,
    outside: Outside,
    id: Uuid,
}

impl Sale {
    async fn open(variant: Variant, pool: PgPool) -> Self {
        let sale = NewSale {
            name: "Wanted".into(),
            stock: STOCK,
            price: Cents(1999),
            hold_seconds: 3_600,
            opens_at: None,
        };
        let id = sales::insert(&pool, &sale).await.expect("the sale").id;
        Sale { variant, service: Service::new(variant), pool, outside: Outside::start().await, id }
    }

    /// Each buyer gets a piece.
    async fn reserve(&self, buyers: u64) {
        let desk = Desk { pool: &self.pool, providers: &self.outside.providers };
        let reserving = (0..buyers).map(|_| self.service.reserve(&desk, self.id, Uuid::now_v7()));
        for reservation in join_all(reserving).await {
            assert_eq!(reservation.expect("a reservation").status, "held", "{:?}", self.variant);
        }
    }
}
