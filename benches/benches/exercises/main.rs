//! The benchmarks of the exercises: one file each, called by its id. To run one: `cargo bench -p benches --bench exercises -- <id>`.

mod double_charge;
mod frozen_health;
mod hung_payments;
mod oversold_stock;
mod sale_meltdown;
mod skipped_in_line;
mod slow_analytics;
mod slow_order_list;

use benches::support::{Growth, settings};
use criterion::{criterion_group, criterion_main};

criterion_group! {
    name = exercises;
    config = settings(10);
    targets =
        oversold_stock::checkout_by_carts,
        slow_order_list::Customer::measure,
        frozen_health::report_by_orders,
        frozen_health::wait_by_orders,
        slow_analytics::Restaurant::measure,
        hung_payments::Shop::measure,
        double_charge::Shop::measure,
        sale_meltdown::reserve_by_buyers,
        skipped_in_line::Sale::measure,
}
criterion_main!(exercises);
