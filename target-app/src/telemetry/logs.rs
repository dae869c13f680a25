//! Logs on standard error: JSON lines for machines, text for a terminal.

use std::fmt;
use std::io::{IsTerminal, Write};

use axum::extract::MatchedPath;
use chrono::{SecondsFormat, Utc};
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::trace::TraceContext;

/// The request that a line belongs to. It is kept in the extensions of the request's span, and written only when something
/// is logged.
pub struct LoggedRequest {
    pub trace: TraceContext,
    pub method: &'static str,
    /// None when no route matches.
    pub route: Option<MatchedPath>,
}

impl LoggedRequest {
    /// Puts it into every line that is logged inside the span.
    pub fn attach(self, span: &Span) {
        span.with_subscriber(|(id, dispatch)| {
            if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
                span.extensions_mut().insert(self);
            }
        });
    }
}

/// What `RUST_LOG` chooses, as `target=level,…`; warnings where it says nothing, or nothing that can be read.
pub fn chosen() -> Targets {
    let chosen = std::env::var("RUST_LOG").ok().filter(|chosen| !chosen.is_empty());
    chosen
        .and_then(|chosen| chosen.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN))
}

/// The layer that logs what is chosen, of all that the subscriber lets through.
pub fn layer<S>(run_id: &str, chosen: Targets) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if std::io::stderr().is_terminal() {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            // They would be printed with `eprintln!`, which panics, in the middle of a request, when nobody reads it.
            .log_internal_errors(false)
            .event_format(Chosen { chosen })
            .boxed()
    } else {
        JsonLines { run_id: run_id.to_owned(), chosen }.boxed()
    }
}

/// Formats the events that are chosen; the others are for other layers, and become no text. A filter of the layer would
/// hide the request's span with its ids as well.
struct Chosen {
    chosen: Targets,
}

impl<S, N> FormatEvent<S, N> for Chosen
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if is_chosen(&self.chosen, event) {
            Format::default().format_event(context, writer, event)
        } else {
            Ok(())
        }
    }
}

fn is_chosen(chosen: &Targets, event: &Event<'_>) -> bool {
    chosen.would_enable(event.metadata().target(), event.metadata().level())
}

/// One JSON object a line. Fields of the event stand beside the others, not in an object of their own.
struct JsonLines {
    run_id: String,
    chosen: Targets,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_chosen(&self.chosen, event) {
            return;
        }
        let mut fields = Fields { message: String::new(), others: Vec::new() };
        event.record(&mut fields);
        let mut spans = context.event_scope(event).into_iter().flatten();
        let span = spans.find(|span| span.extensions().get::<LoggedRequest>().is_some());
        let extensions = span.as_ref().map(|span| span.extensions());
        let request = extensions.as_ref().and_then(|extensions| extensions.get::<LoggedRequest>());
        if let Ok(mut line) = self.line(event, request, fields) {
            line.push(b'\n');
            // There is nowhere to say that the log cannot be written.
            let _ = std::io::stderr().write_all(&line);
        }
    }
}

impl JsonLines {
    fn line(
        &self,
        event: &Event<'_>,
        request: Option<&LoggedRequest>,
        fields: Fields,
    ) -> serde_json::Result<Vec<u8>> {
        let metadata = event.metadata();
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true))?;
        map.serialize_entry("level", metadata.level().as_str())?;
        map.serialize_entry("target", metadata.target())?;
        map.serialize_entry("message", &fields.message)?;
        if let Some(LoggedRequest { trace, method, route }) = request {
            map.serialize_entry("trace_id", &format_args!("{:032x}", trace.trace_id))?;
            map.serialize_entry("span_id", &format_args!("{:016x}", trace.span_id))?;
            map.serialize_entry("http_route", super::route_label(route.as_ref()))?;
            map.serialize_entry("http_request_method", method)?;
        }
        map.serialize_entry("run_id", &self.run_id)?;
        for (name, value) in fields.others {
            map.serialize_entry(name, &value)?;
        }
        map.end()?;
        Ok(line)
    }
}

/// An event's fields.
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            _ => self.add(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
