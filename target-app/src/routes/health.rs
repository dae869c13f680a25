//! `GET /` and `GET /health`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(index)).routes(routes!(health))
}

/// What this is and where to begin.
#[derive(Serialize, ToSchema)]
struct Index {
    name: &'static str,
    version: &'static str,
    /// Path of the OpenAPI document.
    openapi: &'static str,
    /// Requests to try.
    try_these: [&'static str; 4],
}

/// What this is and where to begin
#[utoipa::path(get, path = "/", tag = "health", responses((status = OK, body = Index)))]
async fn index() -> Json<Index> {
    Json(Index {
        name: "Stampede target app",
        version: env!("CARGO_PKG_VERSION"),
        openapi: "/openapi.json",
        try_these: [
            "GET /products?page=1&limit=20",
            "GET /users?email=heavy.user@example.com",
            "GET /admin/inventory/low?threshold=5",
            "GET /restaurants (with X-Tenant-ID: tenant-1)",
        ],
    })
}

/// That the server answers.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the server answers
///
/// It asks nothing of the database: a slow database is no reason to restart this server.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = OK, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
