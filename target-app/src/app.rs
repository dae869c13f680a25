//! The public API and the operator's, as routers.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::abandoned::{self, Abandoned};
use crate::body;
use crate::config::Config;
use crate::error::ApiError;
use crate::readiness::Readiness;
use crate::routes;
use crate::state::AppState;
use crate::telemetry::{self, Gauges};

#[derive(OpenApi)]
#[openapi(info(
    title = "Stampede target app",
    description = "A shop and a restaurant system, to be put under load. Errors are problem details (RFC 9457) with the \
                   extra member `error`."
))]
struct Document;

fn public_routes() -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let (router, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(routes::router()).split_for_parts();
    routes::problems::describe(&mut document);
    (router, document)
}

/// The OpenAPI document of the public API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    public_routes().1
}

/// The public API, which notes in `abandoned` when a request is given up.
pub(crate) fn public(state: AppState, config: &Config, abandoned: Abandoned) -> Router {
    let (router, document) = public_routes();
    let document = Arc::new(document);
    let router = router
        .route("/openapi.json", get(async move || Json(document.as_ref().clone())))
        .fallback(async |request: Request| {
            ApiError::NotFound(format!("there is nothing at {}", request.uri().path()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::MethodNotAllowed(format!(
                "{} is not allowed at {}",
                request.method(),
                request.uri().path()
            ))
        })
        .layer(DefaultBodyLimit::max(config.body_limit))
        .layer(middleware::from_fn_with_state(config.body_limit, announced_size))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(abandoned, abandoned::watch))
        .layer(middleware::from_fn_with_state(config.request_timeout(), deadline));
    let router = if state.telemetry.is_on() {
        router.layer(middleware::from_fn_with_state(state.telemetry.clone(), telemetry::observe))
    } else {
        router
    };
    router.with_state(state)
}

/// Refuses a body that is announced as too large before any of it is read; one that is not announced, axum cuts off.
async fn announced_size(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let announced: Option<usize> =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match announced {
        Some(length) if length > limit => ApiError::TooLarge { limit }.into_response(),
        _ => next.run(request).await,
    }
}

/// Refuses what takes too long: a client that still waits learns it, one that has left costs nothing more. It is told
/// apart who was slow, and a client whose body was not read to its end learns that its connection ends here.
async fn deadline(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let (request, body) = body::watch(request);
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) if body.is_awaited() => ApiError::SlowBody { limit }.into_response(),
        Err(_) => {
            ApiError::Busy { message: format!("no answer within {} ms", limit.as_millis()), retry_after: 1 }
                .into_response()
        }
    };
    if !body.is_read() {
        // What is left of it would be taken for the next request, so hyper closes the connection in any case.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = (panic.downcast_ref::<String>().map(String::as_str))
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::Internal(anyhow::anyhow!("a handler panicked: {message}")).into_response()
}

/// Metrics, readiness and run info. Never public. `gauges` are brought up to date for each reader of the metrics.
pub fn operator(state: AppState, gauges: Option<Gauges>, readiness: Readiness) -> Router {
    let gauges = gauges.map(Arc::new);
    let readiness = Arc::new(readiness);
    Router::new()
        .route(
            "/metrics",
            get(async move |State(app): State<AppState>| metrics(&app, gauges.as_deref()).await),
        )
        .route("/ready", get(async move || readiness.check().await.map(|()| "ready")))
        .route("/info", get(info))
        .with_state(state)
}

async fn metrics(app: &AppState, gauges: Option<&Gauges>) -> impl IntoResponse + use<> {
    if let Some(gauges) = gauges {
        gauges.scrape().await;
    }
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], app.telemetry.metrics.encode())
}

async fn info(State(app): State<AppState>) -> impl IntoResponse {
    let variants: serde_json::Map<_, _> = app
        .exercises
        .variants
        .entries()
        .into_iter()
        .map(|(id, variant)| (id.into(), variant.name.into()))
        .collect();
    Json(serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "variants": variants,
        "pool_size": app.pool.options().get_max_connections(),
    }))
}
