//! Extractors that answer in this API's own words.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use garde::Validate;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::error::ApiError;

/// A JSON body that was parsed and validated. One that is compressed is refused: nothing here unpacks it.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let codings = request.headers().get_all(header::CONTENT_ENCODING);
        if let Some(coding) = codings.iter().find(|coding| !is_identity(coding)) {
            return Err(ApiError::Encoded(String::from_utf8_lossy(coding.as_bytes()).into_owned()));
        }
        let axum::Json(body) = axum::Json::<T>::from_request(request, state).await?;
        validate(&body)?;
        Ok(Json(body))
    }
}

/// Whether a `Content-Encoding` says that the body is as it is, once or several times.
fn is_identity(coding: &HeaderValue) -> bool {
    coding
        .to_str()
        .is_ok_and(|list| list.split(',').all(|coding| coding.trim().eq_ignore_ascii_case("identity")))
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

/// The tenant that the gateway put into `X-Tenant-ID`. HTTP cuts spaces off at both ends.
#[derive(IntoParams)]
#[into_params(names("X-Tenant-ID"), parameter_in = Header)]
pub struct Tenant(
    /// The tenant's id, in printable ASCII.
    #[param(min_length = 1, pattern = "^[!-~]([\\t -~]*[!-~])?$")]
    pub String,
);

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

/// The buyer whom the gateway has identified, in `X-User-Id`. The header is trusted: only the gateway can reach this server.
#[derive(IntoParams)]
#[into_params(names("X-User-Id"), parameter_in = Header)]
pub struct Buyer(
    /// The buyer's id.
    pub Uuid,
);

impl<S: Send + Sync> FromRequestParts<S> for Buyer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut sent = parts.headers.get_all("x-user-id").iter();
        let fault = match (sent.next(), sent.next()) {
            (None, _) => "is missing; the gateway sets it to the id of the buyer",
            // One of them is the gateway's, and nobody can tell which.
            (_, Some(_)) => "was sent more than once; send one id",
            (Some(id), None) => match id.to_str().ok().and_then(|id| id.parse().ok()) {
                Some(id) => return Ok(Buyer(id)),
                None => "is not an id, such as 0190a0b0-0000-7000-8000-000000000001",
            },
        };
        Err(ApiError::BadRequest(format!("the header X-User-Id {fault}")))
    }
}

/// The key under which a client may send a request again: the header `Idempotency-Key` of the draft of that name of the IETF. The draft has
/// it in quotes, most clients do not; both are the same key.
#[derive(IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(
    /// Chosen by the client, in printable ASCII without spaces.
    #[param(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    pub String,
);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut sent = parts.headers.get_all("idempotency-key").iter();
        let fault = match (sent.next(), sent.next()) {
            (None, _) => "is missing; send a new key with each checkout, and the same with each repetition",
            (_, Some(_)) => "was sent more than once; send one key",
            (Some(key), None) => {
                let key = key.to_str().unwrap_or_default();
                let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
                if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Ok(IdempotencyKey(key.into()));
                }
                "must have 1 to 255 visible ASCII characters"
            }
        };
        Err(ApiError::BadRequest(format!("the header Idempotency-Key {fault}")))
    }
}

fn validate<T: Validate<Context = ()>>(value: &T) -> Result<(), ApiError> {
    value.validate().map_err(|report| {
        let problems =
            report.iter().map(|(path, error)| format!("{}: {error}", camel_case(&path.to_string())));
        ApiError::Invalid(problems.collect::<Vec<_>>().join("; "))
    })
}

/// A field's path as the client wrote it: garde knows only the names in Rust.
fn camel_case(path: &str) -> String {
    let mut words = path.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
