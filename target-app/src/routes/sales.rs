//! Flash sales, for buyers whom the gateway has identified.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, Buyer, Path};
use crate::domain::sales::{self, NewSale, Reservation, ReserveError, Sale};
use crate::error::ApiError;
use crate::exercises::sale_meltdown::{self, Desk};
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(get))
        .routes(routes!(reserve))
        .routes(routes!(get_reservation, cancel))
}

/// Announce a sale
#[utoipa::path(post, path = "/sales", tag = "sales", request_body = NewSale, responses((status = CREATED, body = Sale)))]
async fn create(
    State(app): State<AppState>,
    extract::Json(sale): extract::Json<NewSale>,
) -> Result<(StatusCode, Json<Sale>), ApiError> {
    Ok((StatusCode::CREATED, Json(sales::insert(&app.pool, &sale).await?)))
}

/// Get a sale and its current counts
#[utoipa::path(get, path = "/sales/{id}", tag = "sales", params(("id" = Uuid, Path)), responses((status = OK, body = Sale)))]
async fn get(State(app): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<Sale>, ApiError> {
    let sale = sales::find(&app.pool, id).await?;
    sale.map(Json).ok_or_else(|| ReserveError::UnknownSale(id).into())
}

/// Reserve a piece
///
/// The reservation is held until `expiresAt`, or waits at `position` until a piece is free. A buyer has one
/// reservation per sale: asking again returns it as long as it waits, is held or is paid. 409 before the sale opens.
#[utoipa::path(post, path = "/sales/{id}/reservations", tag = "sales", params(("id" = Uuid, Path), Buyer),
    responses((status = ACCEPTED, body = Reservation), (status = CONFLICT)))]
async fn reserve(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Buyer(buyer): Buyer,
) -> Result<(StatusCode, Json<Reservation>), ApiError> {
    let desk = Desk { pool: &app.pool, providers: &app.providers };
    let reserved = app.exercises.sale_meltdown.reserve(&desk, id, buyer).await;
    app.telemetry.count(&sale_meltdown::RESERVATIONS, &[sale_meltdown::outcome(&reserved)], 1.0);
    Ok((StatusCode::ACCEPTED, Json(reserved?)))
}

/// Get one of your reservations
#[utoipa::path(get, path = "/reservations/{id}", tag = "sales", params(("id" = Uuid, Path), Buyer),
    responses((status = OK, body = Reservation)))]
async fn get_reservation(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Buyer(buyer): Buyer,
) -> Result<Json<Reservation>, ApiError> {
    find(&app, id, buyer).await.map(Json)
}

/// Cancel one of your reservations
///
/// If it was held, its piece goes to the buyer who has waited longest. Cancelling twice is not an error. 409 when it is paid or expired.
#[utoipa::path(delete, path = "/reservations/{id}", tag = "sales", params(("id" = Uuid, Path), Buyer),
    responses((status = OK, body = Reservation), (status = CONFLICT)))]
async fn cancel(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Buyer(buyer): Buyer,
) -> Result<Json<Reservation>, ApiError> {
    if let Some(cancelled) = sales::cancel(&app.pool, id, buyer).await?
        && cancelled.was_held
        && let Err(error) = app.exercises.skipped_in_line.pass_on(&app.pool, cancelled.sale_id).await
    {
        // The reservation is cancelled all the same. The worker finds a piece that nobody has.
        tracing::warn!(error = %error, sale = %cancelled.sale_id, "a piece could not be passed on");
    }
    let reservation = find(&app, id, buyer).await?;
    match reservation.status.as_str() {
        "cancelled" => Ok(Json(reservation)),
        status => Err(ApiError::Conflict(format!(
            "the reservation is {status}; only one that waits or is held can be cancelled"
        ))),
    }
}

/// Another buyer's reservation is answered like an unknown one.
async fn find(app: &AppState, id: Uuid, buyer: Uuid) -> Result<Reservation, ApiError> {
    let reservation = sales::find_reservation(&app.pool, id, buyer).await?;
    reservation.ok_or_else(|| ApiError::NotFound(format!("you have no reservation {id}")))
}

impl From<ReserveError> for ApiError {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::UnknownSale(_) => ApiError::NotFound(error.to_string()),
            ReserveError::NotOpen(_) => ApiError::Conflict(error.to_string()),
            ReserveError::Database(error) => error.into(),
        }
    }
}
