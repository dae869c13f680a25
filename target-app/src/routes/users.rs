//! Users of the shop.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use crate::domain::users::{self, User};
use crate::error::ApiError;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct UserQuery {
    /// Only the user with this address, which has no character NUL.
    #[garde(skip)]
    #[param(pattern = "^[^\\u0000]*$")]
    email: Option<String>,
}

/// Find users, by address or the first hundred
#[utoipa::path(get, path = "/users", tag = "shop", params(UserQuery), responses((status = OK, body = [User])))]
async fn list(
    State(app): State<AppState>,
    Query(query): Query<UserQuery>,
) -> Result<Json<Vec<User>>, ApiError> {
    Ok(Json(users::list(&app.pool, query.email.as_deref()).await?))
}
