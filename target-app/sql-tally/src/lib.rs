#![doc = include_str!("../README.md")]

mod fingerprint;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::LevelFilter;
use sqlx::ConnectOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

use fingerprint::{Fingerprint, Fingerprints};

/// Name of the spans that statements are counted in.
pub const SPAN: &str = "http_request";

/// One statement, this many times in one request, is a query for each of N rows that one query has found.
pub const N_PLUS_ONE: u64 = 5;

/// Different statements of one request that are told apart. Those after them count as statements only.
const MOST_FINGERPRINTS: usize = 64;

/// Target of the events that sqlx makes of statements.
pub const QUERY: &str = "sqlx::query";
const ACQUIRE: &str = "sqlx::pool::acquire";
const FAILURE: &str = "sqlx_failure";

/// Keeps what the layer sees. Called on the request's own thread, so it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// A statement ended. `error_type` is empty when nobody told of a failure.
    fn statement(&self, summary: &str, error_type: &str, duration: Duration);
    /// The pool handed out a connection after this time.
    fn connection(&self, _wait: Duration) {}
    /// The pool handed out none within the time that it allows.
    fn no_connection(&self) {}
}

/// Keeps nothing: for who only asks for the [`tally`] of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Observer for Ignore {
    fn statement(&self, _: &str, _: &str, _: Duration) {}
}

/// Connections with these options report each of their statements as an event inside its caller's span. Slow ones are
/// reported like the others, because each is counted once.
pub fn reporting<O: ConnectOptions>(options: O) -> O {
    options.log_statements(LevelFilter::Debug).log_slow_statements(LevelFilter::Debug, Duration::MAX)
}

/// The layer. It ignores what it does not want.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(observer: impl Observer) -> impl Layer<S> {
    Statements { observer, fingerprints: Fingerprints::default() }
}

/// Whether the layer needs this span or event.
pub fn wants(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        metadata.name() == SPAN
    } else {
        [QUERY, ACQUIRE, FAILURE].contains(&metadata.target())
    }
}

/// What a request asked of the database.
#[derive(Debug, Default)]
pub struct Tally {
    /// Statements that it sent.
    pub statements: u64,
    /// Summaries of the statements that it sent [`N_PLUS_ONE`] times or more, each once.
    pub repeated: Vec<Arc<str>>,
}

/// What the span's request has asked so far. None when the layer is not installed or the span is not one of its own.
pub fn tally(span: &Span) -> Option<Tally> {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let extensions = span.extensions();
        let counts = extensions.get::<Request>()?.lock();
        let mut repeated: Vec<Arc<str>> = Vec::new();
        for (fingerprint, times) in &counts.fingerprints {
            if *times >= N_PLUS_ONE && !repeated.contains(&fingerprint.summary) {
                repeated.push(fingerprint.summary.clone());
            }
        }
        Some(Tally { statements: counts.statements, repeated })
    })?
}

/// Tells the layer of an error of sqlx. It is put down to the last statement that ended in the current request, which is
/// the right one as long as the request sends one after another.
pub fn failed(error: &sqlx::Error) {
    match error {
        sqlx::Error::PoolTimedOut => tracing::debug!(target: FAILURE, no_connection = true),
        // PostgreSQL's code is one of a few hundred, the same in every language and version.
        sqlx::Error::Database(database) => {
            tracing::debug!(target: FAILURE, error_type = database.code().as_deref().unwrap_or(fingerprint::OTHER));
        }
        sqlx::Error::Io(_) => tracing::debug!(target: FAILURE, error_type = "io"),
        // It succeeded; only the caller had hoped for more.
        sqlx::Error::RowNotFound => {}
        _ => tracing::debug!(target: FAILURE, error_type = fingerprint::OTHER),
    }
}

/// Kept in the extensions of a request's span.
#[derive(Default)]
struct Request(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    statements: u64,
    fingerprints: Vec<(Arc<Fingerprint>, u64)>,
    /// Ended, and not reported yet: what comes next may tell that it failed.
    last: Option<(Arc<Fingerprint>, Duration)>,
}

impl Request {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, fingerprint: &Arc<Fingerprint>) {
        self.statements += 1;
        let known = self.fingerprints.iter_mut().find(|(known, _)| known == fingerprint);
        if let Some((_, times)) = known {
            *times += 1;
        } else if self.fingerprints.len() < MOST_FINGERPRINTS {
            self.fingerprints.push((fingerprint.clone(), 1));
        }
    }
}

struct Statements<O> {
    observer: O,
    fingerprints: Fingerprints,
}

impl<O: Observer> Statements<O> {
    fn report(&self, ended: Option<(Arc<Fingerprint>, Duration)>, error_type: &str) {
        if let Some((fingerprint, duration)) = ended {
            self.observer.statement(&fingerprint.summary, error_type, duration);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, O: Observer> Layer<S> for Statements<O> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if wants(attributes.metadata())
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Request::default());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !wants(event.metadata()) {
            return;
        }
        let mut seen = Seen { fingerprints: &self.fingerprints, statement: None, seconds: None, error: None };
        event.record(&mut seen);
        let duration = Duration::try_from_secs_f64(seen.seconds.unwrap_or_default()).unwrap_or_default();
        let mut spans = context.event_scope(event).into_iter().flatten();
        let span = spans.find(|span| wants(span.metadata()));
        let extensions = span.as_ref().map(|span| span.extensions());
        let request = extensions.as_ref().and_then(|extensions| extensions.get::<Request>());

        match (event.metadata().target(), seen.statement) {
            (ACQUIRE, _) => self.observer.connection(duration),
            (QUERY, Some(statement)) => match request {
                Some(request) => {
                    let mut counts = request.lock();
                    counts.add(&statement);
                    let before = counts.last.replace((statement, duration));
                    drop(counts);
                    self.report(before, "");
                }
                None => self.report(Some((statement, duration)), ""),
            },
            (FAILURE, _) => match seen.error {
                Some(error) => self.report(request.and_then(|request| request.lock().last.take()), &error),
                None => self.observer.no_connection(),
            },
            _ => {}
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let last = span.extensions().get::<Request>().and_then(|request| request.lock().last.take());
        self.report(last, "");
    }
}

/// The fields of an event that matter.
struct Seen<'a> {
    fingerprints: &'a Fingerprints,
    statement: Option<Arc<Fingerprint>>,
    seconds: Option<f64>,
    error: Option<String>,
}

impl Visit for Seen<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "db.statement" if !value.is_empty() => {
                self.statement = Some(self.fingerprints.of(value.trim()));
            }
            // Of a statement of up to four words, sqlx gives only the summary, which then is all of it.
            "summary" if !value.ends_with('…') => self.statement = Some(self.fingerprints.of(value)),
            "error_type" => self.error = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if matches!(field.name(), "elapsed_secs" | "acquired_after_secs") {
            self.seconds = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
