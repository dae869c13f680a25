//! What whoever runs a test sees and changes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, RequestPartsExt, Router};
use prometheus::TextEncoder;
use serde::{Deserialize, Serialize};

use crate::gate::{Point, Release};
use crate::ledger::Entry;
use crate::profile::Profile;
use crate::service::{Body, Problem, Service, Status, problem};
use crate::services::Services;

/// Entries in one page of a ledger.
const PAGE: usize = 10_000;

/// The longest wait for requests that are to be held.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/{service}", get(status))
        .route("/{service}/most", axum::routing::delete(reset_most))
        .route("/{service}/profile", get(show_profile).put(set_profile))
        .route("/{service}/ledger", get(ledger))
        .route("/{service}/gate", get(held).put(close))
        .route("/{service}/gate/release", post(release))
        .with_state(services)
}

/// Which requests are to be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Close {
    /// At which moment.
    pub at: Point,
    /// The next so many.
    pub requests: usize,
}

/// How they go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// With an answer or an error.
    pub how: Release,
}

/// The service that the path names.
struct Named(Arc<Service>);

impl FromRequestParts<Arc<Services>> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Response> {
        let Path(name): Path<String> = parts.extract().await.map_err(IntoResponse::into_response)?;
        let all = services.all();
        let found = all.into_iter().find(|service| service.name == name).cloned();
        found.map(Named).ok_or_else(|| {
            let names = all.map(|service| service.name).join(", ");
            let detail = format!("there is no service '{name}'; there are {names}");
            problem(StatusCode::NOT_FOUND, detail).into_response()
        })
    }
}

async fn metrics(State(services): State<Arc<Services>>) -> impl IntoResponse {
    let text = TextEncoder::new().encode_to_string(&services.registry.gather()).unwrap_or_default();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)
}

async fn status(Named(service): Named) -> Json<Status> {
    Json(service.status())
}

async fn reset_most(Named(service): Named) -> StatusCode {
    service.reset_most();
    StatusCode::NO_CONTENT
}

async fn show_profile(Named(service): Named) -> Json<Profile> {
    Json(service.profile())
}

async fn set_profile(Named(service): Named, Body(profile): Body<Profile>) -> Result<Json<Profile>, Problem> {
    profile.validate().map_err(|error| problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    service.set_profile(profile);
    Ok(Json(profile))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: usize,
}

async fn ledger(Named(service): Named, Query(After { after }): Query<After>) -> Json<Vec<Entry>> {
    Json(service.ledger.page(after, PAGE))
}

#[derive(Deserialize)]
struct Wait {
    /// Until so many are held.
    #[serde(default)]
    requests: usize,
}

async fn held(Named(service): Named, Query(Wait { requests }): Query<Wait>) -> Json<usize> {
    Json(service.gate.held(requests, LONGEST_WAIT).await)
}

async fn close(Named(service): Named, Body(Close { at, requests }): Body<Close>) -> StatusCode {
    service.gate.close(at, requests);
    StatusCode::NO_CONTENT
}

async fn release(Named(service): Named, Body(Open { how }): Body<Open>) -> StatusCode {
    service.gate.open(how);
    StatusCode::NO_CONTENT
}
