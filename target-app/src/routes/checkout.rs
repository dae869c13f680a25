//! The checkout that places an order and pays it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{self, IdempotencyKey};
use crate::domain::checkouts::{Answer, Checkout};
use crate::domain::orders::Order;
use crate::error::ApiError;
use crate::exercises::double_charge::{self, Shop};
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(check_out))
}

/// Buy what is in a cart and pay it
///
/// The same request with the same key gets the same response, whether it was paid or declined, and nothing is done twice. 402 when the card
/// is not accepted. 409 when there is not enough in stock, or while another request with the key is under way. 422 when the key was used for
/// another checkout. After 503 nobody knows yet what became of the checkout, so send the same again.
#[utoipa::path(post, path = "/api/checkout", tag = "shop", params(IdempotencyKey), request_body = Checkout,
    responses((status = CREATED, body = Order), (status = PAYMENT_REQUIRED), (status = CONFLICT)))]
async fn check_out(
    State(app): State<AppState>,
    IdempotencyKey(key): IdempotencyKey,
    extract::Json(checkout): extract::Json<Checkout>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let shop = Shop { pool: &app.pool, providers: &app.providers };
    let answered = app.exercises.double_charge.check_out(&shop, &key, &checkout).await;
    app.telemetry.count(&double_charge::CHECKOUTS, &[double_charge::outcome(&answered)], 1.0);
    match answered? {
        Answer::Paid(order) => Ok((StatusCode::CREATED, Json(order))),
        Answer::Declined => Err(ApiError::PaymentRequired(
            "the card was not accepted; check out with another card and a new Idempotency-Key".into(),
        )),
    }
}
