//! Every error that a client can get, as problem details (RFC 9457) with the extra member `error`.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use problem_details::ProblemDetails;
use serde::Serialize;

/// Why a request was not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 402.
    #[error("{0}")]
    PaymentRequired(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// 408: the rest of the body did not come.
    #[error("the request's body was not complete after {} ms; send it again", .limit.as_millis())]
    SlowBody {
        /// How long it was waited for.
        limit: Duration,
    },
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 413.
    #[error("the body is larger than {limit} bytes, which is the most that is read")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
    /// 415: the body is encoded in a way that nobody here decodes.
    #[error(
        "the header Content-Encoding says '{0}', and only bodies that are not encoded are read; send it as it is"
    )]
    Encoded(String),
    /// 422: understood, and wrong.
    #[error("{0}")]
    Invalid(String),
    /// 503: come back later.
    #[error("{message}")]
    Busy {
        /// What is busy.
        message: String,
        /// Seconds.
        retry_after: u64,
    },
    /// What axum made of a body.
    #[error("{}", .0.body_text())]
    Json(#[from] JsonRejection),
    /// What axum made of a path.
    #[error("{}", .0.body_text())]
    Path(#[from] PathRejection),
    /// What axum made of a query string.
    #[error("{}", .0.body_text())]
    Query(#[from] QueryRejection),
    /// The database failed. The client learns only that.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Anything else that is our fault.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

/// The extra member that clients of the systems before this one read.
#[derive(Debug, Serialize)]
struct Extra {
    error: String,
}

impl ApiError {
    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::PaymentRequired(_) => StatusCode::PAYMENT_REQUIRED,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Encoded(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::Json(rejection) => rejection.status(),
            ApiError::Path(_) => StatusCode::NOT_FOUND,
            ApiError::Query(rejection) => rejection.status(),
            ApiError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Database(error) if is_unavailable(error) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Database(error) if is_unstorable_text(error) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::Database(_) | ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client reads: never a library's or the database's own words about our side.
    fn detail(&self) -> String {
        match self {
            ApiError::Database(sqlx::Error::PoolTimedOut) => "the database is busy; try again".into(),
            ApiError::Database(error) if is_unavailable(error) => {
                "the database is not there at the moment; try again".into()
            }
            ApiError::Database(error) if is_unstorable_text(error) => {
                "a text contains the character NUL, which cannot be stored; leave it out".into()
            }
            ApiError::Database(_) | ApiError::Internal(_) => "the server failed to handle the request".into(),
            _ => self.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if let ApiError::Database(error) = &self {
            sql_tally::failed(error);
        }
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = ?self, "request failed");
        } else if let ApiError::Database(error) = &self {
            tracing::warn!(%error, "the database refused");
        }
        let detail = self.detail();
        let problem = ProblemDetails::from_status_code(status)
            .with_detail(detail.clone())
            .with_extensions(Extra { error: detail });
        let mut response = problem.into_response();
        let remedy = match self {
            ApiError::Busy { retry_after, .. } => Some((header::RETRY_AFTER, HeaderValue::from(retry_after))),
            ApiError::Database(error) if is_unavailable(&error) => {
                Some((header::RETRY_AFTER, HeaderValue::from(1)))
            }
            ApiError::Encoded(_) => Some((header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            _ => None,
        };
        if let Some((name, value)) = remedy {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Whether the database could not be asked, which is no fault of the request: no connection was free, or the one in use
/// broke. Which statement was under way does not matter, since none of them is repeated here.
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // A connection failed, an operator ended it or the whole server, or there are too many.
            code.starts_with("08") || code.starts_with("57P") || code == "53300"
        }),
        _ => false,
    }
}

/// PostgreSQL's `character_not_in_repertoire`: the one character of Rust's strings that it refuses is NUL.
fn is_unstorable_text(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "22021")
}

/// Turns a broken constraint into an answer: `query.await.map_err(on_constraint("orders_user_id_fkey", …))`.
pub fn on_constraint<'a>(
    constraint: &'a str,
    answer: impl FnOnce() -> ApiError + 'a,
) -> impl FnOnce(sqlx::Error) -> ApiError + 'a {
    move |error| match &error {
        sqlx::Error::Database(database) if database.constraint() == Some(constraint) => {
            sql_tally::failed(&error);
            answer()
        }
        _ => error.into(),
    }
}
