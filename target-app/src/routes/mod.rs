//! The public API: ordinary handlers, grouped by subject.

mod checkout;
mod extract;
mod health;
mod orders;
mod payments;
pub mod problems;
mod products;
mod reports;
mod restaurants;
mod sales;
mod users;

use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

/// All public routes.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(health::router())
        .merge(products::router())
        .merge(users::router())
        .merge(orders::router())
        .merge(checkout::router())
        .merge(payments::router())
        .merge(reports::router())
        .merge(restaurants::router())
        .merge(sales::router())
}
