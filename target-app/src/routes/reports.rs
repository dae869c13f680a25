//! Reports on orders.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::Path;
use crate::domain::report::OrderHistory;
use crate::domain::{orders, users};
use crate::error::ApiError;
use crate::exercises::frozen_health;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(order_report))
}

/// Pages in one report. More would keep a renderer, and everybody who waits for it, for seconds.
const MOST_PAGES: i64 = 1_500;

/// Get a user's orders as a PDF
#[utoipa::path(get, path = "/reports/orders/{userId}", tag = "shop", params(("userId" = Uuid, Path)),
    responses((status = OK, content_type = "application/pdf")))]
async fn order_report(
    State(app): State<AppState>,
    Path(user_id): Path<Uuid>,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = app.pool.acquire().await?;
    let user = users::find(&mut *connection, user_id)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("there is no user {user_id}")))?;
    let orders = orders::newest(&mut connection, user_id, MOST_PAGES).await?;
    // Rendering needs no connection, so others may have it meanwhile.
    drop(connection);

    let rendered = app.exercises.frozen_health.render(OrderHistory { user, orders }).await;
    app.telemetry.count(&frozen_health::REPORTS, &[frozen_health::outcome(&rendered)], 1.0);
    let pdf = rendered?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/pdf"),
            (header::CONTENT_DISPOSITION, "inline; filename=\"orders.pdf\""),
        ],
        pdf,
    ))
}
