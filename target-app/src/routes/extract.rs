//! Extractors that answer in this API's own words.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use garde::Validate;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A JSON body that was parsed and validated.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let axum::Json(body) = axum::Json::<T>::from_request(request, state).await?;
        validate(&body)?;
        Ok(Json(body))
    }
}

/// A query string that was parsed and validated.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(query) = axum::extract::Query::<T>::from_request_parts(parts, state).await?;
        validate(&query)?;
        Ok(Query(query))
    }
}

/// The parts of a path. One that cannot be an id names nothing: 404.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The tenant that the gateway put into `X-Tenant-ID`.
pub struct Tenant(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut sent = parts.headers.get_all("x-tenant-id").iter();
        let fault = match (sent.next().map(HeaderValue::to_str), sent.next()) {
            (Some(Ok(tenant)), None) if !tenant.is_empty() => return Ok(Tenant(tenant.into())),
            (None, _) => "is missing; send your tenant's id",
            // One of them is the gateway's, and nobody can tell which.
            (_, Some(_)) => "was sent more than once; send one tenant's id",
            (Some(Ok(_)), None) => "is empty; send your tenant's id",
            (Some(Err(_)), None) => {
                "has other characters than printable ASCII; send your tenant's id as it is"
            }
        };
        Err(ApiError::BadRequest(format!("the header X-Tenant-ID {fault}")))
    }
}

fn validate<T: Validate<Context = ()>>(value: &T) -> Result<(), ApiError> {
    value.validate().map_err(|report| {
        let problems: Vec<String> = report.iter().map(|(path, error)| format!("{path}: {error}")).collect();
        ApiError::Invalid(problems.join("; "))
    })
}
