//! Orders of the shop, and the checkout that makes them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, Path, Query};
use crate::domain::orders::{Cart, Order, OrderPage};
use crate::domain::users;
use crate::error::ApiError;
use crate::exercises::oversold_stock;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(checkout)).routes(routes!(list))
}

/// Which part of the list is asked for.
#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
struct ListQuery {
    /// Orders at most.
    #[garde(range(min = 1, max = 1_000))]
    #[param(minimum = 1, maximum = 1_000)]
    limit: i64,
    /// The id of an order of this user: the list begins after it.
    #[garde(skip)]
    after: Option<Uuid>,
}

impl Default for ListQuery {
    /// All orders, for clients that know of no pages; nobody in the seeded data has more.
    fn default() -> Self {
        ListQuery { limit: 1_000, after: None }
    }
}

/// List a user's orders with their items, newest first
///
/// The next page is the one after the last order of this one; the list has ended when a page is not full.
#[utoipa::path(get, path = "/orders/{userId}", tag = "shop", params(("userId" = Uuid, Path), ListQuery),
    responses((status = OK, body = [Order])))]
async fn list(
    State(app): State<AppState>,
    Path(user_id): Path<Uuid>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Order>>, ApiError> {
    let page = match query.after {
        None => OrderPage::newest(query.limit),
        Some(order) => OrderPage::after(&app.pool, user_id, order, query.limit)
            .await?
            .ok_or_else(|| ApiError::NotFound(format!("user {user_id} has no order {order}")))?,
    };
    let orders = app.exercises.slow_order_list.list(&app.pool, user_id, page).await?;
    if orders.is_empty() && users::find(&app.pool, user_id).await?.is_none() {
        return Err(ApiError::NotFound(format!("there is no user {user_id}")));
    }
    Ok(Json(orders))
}

/// Buy what is in a cart
///
/// 409 when there is not enough in stock for every line, with the id of a product that is short; then nothing was bought.
#[utoipa::path(post, path = "/orders/checkout", tag = "shop", request_body = Cart,
    responses((status = CREATED, body = Order), (status = CONFLICT)))]
async fn checkout(
    State(app): State<AppState>,
    extract::Json(cart): extract::Json<Cart>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let order = app.exercises.oversold_stock.place_order(&app.pool, &cart).await?;
    let pieces = order.items.iter().map(|item| f64::from(item.quantity)).sum();
    app.telemetry.count(&oversold_stock::UNITS_SOLD, &[], pieces);
    Ok((StatusCode::CREATED, Json(order)))
}
