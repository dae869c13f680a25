//! The benchmarks of the exercises: one file each, called by its id. To run one: `cargo bench -p benches --bench exercises -- <id>`.

mod frozen_health;
mod oversold_stock;
mod slow_analytics;

use benches::support::settings;
use criterion::{criterion_group, criterion_main};

criterion_group! {
    name = exercises;
    config = settings(10);
    targets =
        oversold_stock::checkout_by_carts,
        frozen_health::report_by_orders,
        frozen_health::wait_by_orders,
        slow_analytics::analytics_by_orders,
}
criterion_main!(exercises);
