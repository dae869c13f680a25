//! `double-charge`: TODO: one call with 10, 100 and 1,000 of what.

use benches::support::Growth;
use sqlx::PgPool;
use target_app::catalogue::Exercise;
use target_app::exercises::double_charge::{EXERCISE, Service, Variant};

/// The data of one size, in a database of its own.
pub struct Data {
    pool: PgPool,
}

impl Growth for Data {
    const EXERCISE: &'static Exercise = &EXERCISE;
    const SIZES: [u64; 3] = [10, 100, 1_000];
    const VARIANTS: &'static [Variant] = Variant::ALL;

    type Variant = Variant;
    type Service = Service;

    fn service(variant: Variant) -> Service {
        Service::new(variant)
    }

    async fn with(pool: PgPool, _size: u64) -> Self {
        // TODO: make so much data.
        Data { pool }
    }

    async fn call(&self, service: &Service) {
        // TODO: compare the answer with the data, so that a wrong one cannot pass for a quick one.
        service.answer(&self.pool).await.expect("an answer");
    }

    fn statements(&self, _variant: Variant) -> u64 {
        // TODO: how many SQL statements a call takes.
        panic!("{}: write the benchmark in {}: make data, check the answer", EXERCISE.id, file!())
    }
}
