//! What whoever runs a test sees and changes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::TextEncoder;
use serde::{Deserialize, Serialize};

use crate::Services;
use crate::gate::{Point, Release};
use crate::profile::Profile;
use crate::service::{Problem, Service, problem};

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

/// What a service has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Requests until now.
    pub requests: u64,
    /// In work now.
    pub in_flight: usize,
    /// In work at a time, at most.
    pub most_in_flight: usize,
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

fn service(services: &Services, name: &str) -> Result<Arc<Service>, Problem> {
    let all = services.all();
    let found = all.into_iter().find(|service| service.name == name).cloned();
    found.ok_or_else(|| {
        let names = all.map(|service| service.name).join(", ");
        problem(StatusCode::NOT_FOUND, format!("there is no service '{name}'; there are {names}"))
    })
}

async fn metrics(State(services): State<Arc<Services>>) -> impl IntoResponse {
    let text = TextEncoder::new().encode_to_string(&services.registry.gather()).unwrap_or_default();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)
}

async fn status(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
) -> Result<Json<Status>, Problem> {
    let (requests, in_flight, most_in_flight) = service(&services, &name)?.counts();
    Ok(Json(Status { requests, in_flight, most_in_flight }))
}

async fn reset_most(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    service(&services, &name)?.reset_most();
    Ok(StatusCode::NO_CONTENT)
}

async fn show_profile(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
) -> Result<Json<Profile>, Problem> {
    Ok(Json(service(&services, &name)?.profile()))
}

async fn set_profile(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
    profile: Result<Json<Profile>, JsonRejection>,
) -> Result<Json<Profile>, Problem> {
    let service = service(&services, &name)?;
    let Json(profile) = profile?;
    profile.validate().map_err(|error| problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    service.set_profile(profile);
    Ok(Json(profile))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: usize,
}

async fn ledger(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Response, Problem> {
    Ok(Json(service(&services, &name)?.ledger.page(after, PAGE)).into_response())
}

#[derive(Deserialize)]
struct Wait {
    /// Until so many are held.
    #[serde(default)]
    requests: usize,
}

async fn held(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
    Query(Wait { requests }): Query<Wait>,
) -> Result<Json<usize>, Problem> {
    Ok(Json(service(&services, &name)?.gate.held(requests, LONGEST_WAIT).await))
}

async fn close(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
    close: Result<Json<Close>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let service = service(&services, &name)?;
    let Json(Close { at, requests }) = close?;
    service.gate.close(at, requests);
    Ok(StatusCode::NO_CONTENT)
}

async fn release(
    State(services): State<Arc<Services>>,
    Path(name): Path<String>,
    open: Result<Json<Open>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let service = service(&services, &name)?;
    let Json(Open { how }) = open?;
    service.gate.open(how);
    Ok(StatusCode::NO_CONTENT)
}
