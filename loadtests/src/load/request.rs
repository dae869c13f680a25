//! What to send, when, and how answers are judged.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// One request of the schedule.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The intended start, from the start of the load. A closed loop ignores it.
    pub at: Duration,
    /// What to send.
    pub request: Request,
}

/// One HTTP request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Under which its latency is kept, such as `checkout`: never with an id in it.
    pub name: &'static str,
    /// HTTP method.
    pub method: Method,
    /// Index into [`Plan::targets`](super::Plan::targets): the replica.
    pub target: usize,
    /// Path and query, such as `/products?limit=20`.
    pub path: String,
    /// JSON, sent with its content type.
    pub body: Option<Bytes>,
    /// Sent as they are.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// When the client leaves, counted from the sending, if it has no answer by then; none waits for [`Plan::timeout`](super::Plan::timeout).
    pub hang_up: Option<Duration>,
}

impl Request {
    /// A `GET` of a path of the first target.
    pub fn get(name: &'static str, path: impl Into<String>) -> Self {
        Self {
            name,
            method: Method::GET,
            target: 0,
            path: path.into(),
            body: None,
            headers: Vec::new(),
            hang_up: None,
        }
    }

    /// A `POST` of a JSON document to a path of the first target.
    pub fn post(name: &'static str, path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: Some(json.into()), ..Self::get(name, path) }
    }
}

/// An answer, its body read to the end.
#[derive(Debug)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a Bytes,
    /// When the request was sent, from the start of the load.
    pub sent: Duration,
    /// When the body had been read, from the start of the load.
    pub done: Duration,
}

/// What an answer is worth. The words are few and fixed: they name rows of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What the request asked for.
    Ok,
    /// A refusal that the scenario expects, such as `short-stock`.
    Expected(&'static str),
    /// Anything else, such as `status-500`.
    Failed(&'static str),
}

/// Names the outcome of an answer. Called on the load's own runtime, so it must be quick; what it remembers is its own affair.
pub type Judge = Arc<dyn Fn(&Request, &Answer<'_>) -> Outcome + Send + Sync>;

/// The judge of scenarios that expect nothing but success: 2xx is ok, everything else failed.
pub fn judge_status(_: &Request, answer: &Answer<'_>) -> Outcome {
    match answer.status {
        200..=299 => Outcome::Ok,
        status => Outcome::Failed(status_reason(status)),
    }
}

/// `status-503` and the like, for [`Outcome::Failed`].
pub fn status_reason(status: u16) -> &'static str {
    const FIRST: u16 = 100;
    static REASONS: LazyLock<Vec<String>> =
        LazyLock::new(|| (FIRST..1000).map(|status| format!("status-{status}")).collect());
    status
        .checked_sub(FIRST)
        .and_then(|index| REASONS.get(usize::from(index)))
        .map_or("status-unknown", |r| r)
}
