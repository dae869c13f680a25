//! What of the answers is not the handlers' own: an error follows from what a route takes, so the document says it of
//! every route that takes it.

use axum::http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{Components, Content, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// What a client gets instead of what it asked for (RFC 9457)
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `ProblemDetails` writes")]
struct Problem {
    /// The status in words.
    title: String,
    /// The status once more.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong.
    detail: String,
    /// The same.
    error: String,
}

const PROBLEMS: [(StatusCode, &str); 10] = [
    (StatusCode::BAD_REQUEST, "The query or the body cannot be read, or the tenant is missing"),
    (StatusCode::PAYMENT_REQUIRED, "The card was not accepted"),
    (StatusCode::NOT_FOUND, "There is no such thing, or it is another tenant's"),
    (StatusCode::REQUEST_TIMEOUT, "The rest of the body did not come"),
    (StatusCode::CONFLICT, "It does not go with what is there already"),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than the server reads"),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body is not called JSON by its Content-Type, or is encoded by its Content-Encoding",
    ),
    (StatusCode::UNPROCESSABLE_ENTITY, "Understood, and wrong: the answer names the field"),
    (StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Something is busy or not there, or the answer took too long; come back later",
    ),
];

/// Adds to each operation the errors that follow from what it takes, and describes every error once.
pub fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into(), Problem::schema());
    for (status, description) in PROBLEMS {
        components.responses.insert(name(status), problem(status, description).into());
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let handlers_own = |status: &StatusCode| operation.responses.responses.contains_key(status.as_str());
        let own: Vec<StatusCode> =
            PROBLEMS.map(|(status, _)| status).into_iter().filter(handlers_own).collect();
        for status in own.into_iter().chain(refusals(operation)) {
            let shared = RefOr::Ref(Ref::from_response_name(name(status)));
            operation.responses.responses.insert(status.as_str().into(), shared);
        }
    }
}

/// The errors that follow from what `operation` takes. Every route has a deadline, and any handler may fail.
fn refusals(operation: &Operation) -> Vec<StatusCode> {
    let mut refusals = vec![StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        refusals.extend_from_slice(match parameter.parameter_in {
            ParameterIn::Path => &[StatusCode::NOT_FOUND],
            ParameterIn::Query => &[StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY],
            _ => &[StatusCode::BAD_REQUEST],
        });
    }
    if operation.request_body.is_some() {
        refusals.extend([
            StatusCode::BAD_REQUEST,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]);
    }
    refusals
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch].into_iter().flatten()
}

fn problem(status: StatusCode, description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let response =
        ResponseBuilder::new().description(description).content("application/problem+json", content);
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = HeaderBuilder::new()
                .schema(Some(Object::with_type(Type::Integer)))
                .description(Some("Seconds until it is worth another try"))
                .build();
            response.header("Retry-After", seconds).build()
        }
        _ => response.build(),
    }
}

/// `NotFound` for 404: the names of components have no spaces.
fn name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().replace(' ', "")
}
