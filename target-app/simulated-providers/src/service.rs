//! What all services have in common: they are slow, they fail, and they can be watched.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::FromRequest;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::gate::{Gate, Point, Release};
use crate::ledger::{Entered, Entry, Ledger};
use crate::profile::{Fate, Plan, Profile};

/// Who hangs lets go after this time, so that nothing is kept for a client that waits for ever.
const HANG: Duration = Duration::from_secs(60);

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    pub name: &'static str,
    pub ledger: Ledger,
    pub gate: Gate,
    profile: Mutex<Profile>,
    seed: u64,
    requests: AtomicU64,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    metrics: Metrics,
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

/// The metrics of all services.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    in_flight: IntGaugeVec,
    entries: IntCounterVec,
}

impl Metrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("simulated_requests_total", "Requests by what became of them"),
            &["service", "outcome"],
        )?;
        let in_flight =
            IntGaugeVec::new(Opts::new("simulated_requests_in_flight", "Requests in work"), &["service"])?;
        let entries = IntCounterVec::new(
            Opts::new("simulated_ledger_entries_total", "Requests that took effect, each key once"),
            &["service"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(entries.clone()))?;
        Ok(Metrics { requests, in_flight, entries })
    }
}

/// A request in work, until this is dropped.
struct InFlight {
    service: Arc<Service>,
    gauge: IntGauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.service.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

impl Service {
    pub fn new(name: &'static str, seed: u64, metrics: Metrics) -> Arc<Self> {
        // So that one request of two services does not fare alike.
        let seed =
            name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(0x0100_0000_01B3) ^ u64::from(byte));
        Arc::new(Service {
            name,
            ledger: Ledger::default(),
            gate: Gate::default(),
            profile: Mutex::default(),
            seed,
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            metrics,
        })
    }

    pub fn profile(&self) -> Profile {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_profile(&self, profile: Profile) {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = profile;
    }

    pub fn status(&self) -> Status {
        Status {
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            most_in_flight: self.most_in_flight.load(Ordering::Relaxed),
        }
    }

    /// From now on, the most in work at a time is counted anew.
    pub fn reset_most(&self) {
        self.most_in_flight.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn count(&self, outcome: &str) {
        self.metrics.requests.with_label_values(&[self.name, outcome]).inc();
    }

    /// What happens to the next request.
    pub fn next_plan(&self) -> Plan {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let plan = self.profile().plan(self.seed, number);
        self.count(plan.fate.name());
        plan
    }

    fn enter_work(self: &Arc<Self>) -> Option<InFlight> {
        let capacity = self.profile().capacity;
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let gauge = self.metrics.in_flight.with_label_values(&[self.name]);
        gauge.inc();
        let in_flight = InFlight { service: self.clone(), gauge };
        self.most_in_flight.fetch_max((before + 1).min(capacity), Ordering::Relaxed);
        (before < capacity).then_some(in_flight)
    }

    /// Answers a request as the profile has it. `effect` takes place once or not at all, also when the client leaves
    /// meanwhile, as it would at a provider far away.
    pub async fn answer(
        self: &Arc<Self>,
        effect: impl FnOnce(&Service) -> Response + Send + 'static,
    ) -> Response {
        let Some(in_flight) = self.enter_work() else {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.count("overloaded");
            return problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time").into_response();
        };
        let plan = self.next_plan();
        let half = plan.latency / 2;
        match plan.fate {
            Fate::Refused => {
                pause(plan.latency).await;
                return problem(StatusCode::SERVICE_UNAVAILABLE, "out of service for a moment")
                    .into_response();
            }
            Fate::Hung => return hang().await,
            _ => {}
        }

        let (done, answer) = oneshot::channel();
        let service = self.clone();
        tokio::spawn(async move {
            pause(half).await;
            let response = match service.gate.pass(Point::BeforeEffect).await {
                Release::Continue => effect(&service),
                Release::Refuse => {
                    problem(StatusCode::SERVICE_UNAVAILABLE, "refused before its effect").into_response()
                }
            };
            // Of a client that has left, nobody waits for it.
            let _ = done.send((response, in_flight));
        });
        let Ok((response, _in_flight)) = answer.await else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "the service failed").into_response();
        };
        if self.gate.pass(Point::AfterEffect).await == Release::Refuse {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "refused after its effect").into_response();
        }
        pause(half).await;
        match plan.fate {
            Fate::Failed => problem(StatusCode::INTERNAL_SERVER_ERROR, "an internal error").into_response(),
            Fate::Lost => hang().await,
            Fate::Garbled => garbled(response).await,
            _ => response,
        }
    }

    /// Enters a request in the ledger under the idempotency key in its head, if any. `shown` makes of an entry what the client
    /// gets. 201; 200 when it had been there before; 422 when the key belongs to another request.
    pub fn enter(
        &self,
        key: Option<String>,
        request: Value,
        shown: impl FnOnce(&Entry) -> Value,
    ) -> Response {
        match self.ledger.enter(key, request) {
            Entered::New(entry) => {
                self.metrics.entries.with_label_values(&[self.name]).inc();
                (StatusCode::CREATED, Json(shown(&entry))).into_response()
            }
            Entered::Before(entry) => {
                (StatusCode::OK, [("idempotent-replayed", "true")], Json(shown(&entry))).into_response()
            }
            Entered::Conflict => problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the Idempotency-Key was used for another request; take a new key for a new request",
            )
            .into_response(),
            Entered::Full => problem(StatusCode::INSUFFICIENT_STORAGE, "the ledger is full").into_response(),
        }
    }
}

/// Does not answer for as long as anybody waits.
async fn hang() -> Response {
    tokio::time::sleep(HANG).await;
    problem(StatusCode::GATEWAY_TIMEOUT, "no answer").into_response()
}

/// The first half of an answer, which is not JSON any more.
async fn garbled(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    (parts, body.slice(..body.len() / 2)).into_response()
}

/// An error, which becomes a problem document (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

pub(crate) fn problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem { status, detail: detail.into() }
}

/// A body of JSON; what is none is refused as a [`Problem`].
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Body<T>(pub T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        problem(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, detail } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

/// Lets time pass. The clock of tokio ticks once a millisecond, so no time at all would take one or two.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// 400 for one that is empty, longer than 255 characters, or not of visible ASCII characters.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    // The draft of the IETF has it in quotes, most clients do not.
    let key = key.to_str().unwrap_or_default().trim_matches('"');
    if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "Idempotency-Key must have 1 to 255 visible ASCII characters";
        return Err(problem(StatusCode::BAD_REQUEST, detail));
    }
    Ok(Some(key.to_owned()))
}
