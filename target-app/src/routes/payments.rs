//! Payments for orders of the shop.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, Path};
use crate::domain::payments::{self, Payment, PaymentRequest};
use crate::error::ApiError;
use crate::exercises::hung_payments::{self, Screening};
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(process)).routes(routes!(process_simple)).routes(routes!(get))
}

/// Pay an order, after a fraud check
///
/// An order is charged once: whoever pays it again gets the same payment. 402 when the card is not accepted; then another one may be.
/// After 503 nobody knows yet what became of the payment, so send the same again.
#[utoipa::path(post, path = "/api/payments/process", tag = "payments", request_body = PaymentRequest,
    responses((status = CREATED, body = Payment), (status = PAYMENT_REQUIRED), (status = CONFLICT)))]
async fn process(
    State(app): State<AppState>,
    extract::Json(request): extract::Json<PaymentRequest>,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    pay(app, request, Screening::FraudCheck).await
}

/// Pay an order, without a fraud check
#[utoipa::path(post, path = "/api/payments/process-simple", tag = "payments", request_body = PaymentRequest,
    responses((status = CREATED, body = Payment), (status = PAYMENT_REQUIRED), (status = CONFLICT)))]
async fn process_simple(
    State(app): State<AppState>,
    extract::Json(request): extract::Json<PaymentRequest>,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    pay(app, request, Screening::None).await
}

async fn pay(
    app: AppState,
    request: PaymentRequest,
    screening: Screening,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    let processed = app.exercises.hung_payments.process(&app.pool, &app.providers, &request, screening).await;
    app.telemetry.count(&hung_payments::PAYMENTS, &[hung_payments::outcome(&processed)], 1.0);
    match processed? {
        payment if payment.status == "declined" => {
            Err(ApiError::PaymentRequired("the card was not accepted; pay with another one".into()))
        }
        payment => Ok((StatusCode::CREATED, Json(payment))),
    }
}

/// Get a payment
#[utoipa::path(get, path = "/api/payments/{id}", tag = "payments", params(("id" = Uuid, Path)),
    responses((status = OK, body = Payment)))]
async fn get(State(app): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<Payment>, ApiError> {
    let payment = payments::find(&app.pool, id).await?;
    payment.map(Json).ok_or_else(|| ApiError::NotFound(format!("there is no payment {id}")))
}
