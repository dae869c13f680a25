//! Orders of the shop, and the checkout that makes them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, Path};
use crate::domain::orders::{self, Cart, Order};
use crate::domain::users;
use crate::error::ApiError;
use crate::exercises::oversold_stock;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(checkout)).routes(routes!(of_user))
}

/// Orders in one answer: enough for the heaviest user of the seeded data.
const MOST_ORDERS: i64 = 1_000;

/// List a user's orders with their items, newest first
#[utoipa::path(get, path = "/orders/{userId}", tag = "shop", params(("userId" = Uuid, Path)),
    responses((status = OK, body = [Order])))]
async fn of_user(
    State(app): State<AppState>,
    Path(user_id): Path<Uuid>,
) -> Result<Json<Vec<Order>>, ApiError> {
    let mut connection = app.pool.acquire().await?;
    let orders = orders::of_user(&mut connection, user_id, MOST_ORDERS).await?;
    if orders.is_empty() && users::find(&mut *connection, user_id).await?.is_none() {
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
