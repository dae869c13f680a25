//! Counts the SQL statements of each request, for any service on sqlx and `tracing`.
//!
//! sqlx reports every statement as an event (target `sqlx::query`) inside its caller's span. The [`layer`] adds each to
//! the nearest enclosing span called [`SPAN`], and [`count`] reads the sum. Work moved to a task of its own is counted
//! when the task carries the span (`Instrument::in_current_span`).

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Name of the spans that statements are counted in.
pub const SPAN: &str = "http_request";

/// The layer, with the filter that lets sqlx's events through to it and to nothing else.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let filter = Targets::new()
        .with_target("sqlx::query", Level::DEBUG)
        .with_target("target_app::telemetry", Level::INFO);
    StatementLayer.with_filter(filter)
}

/// Statements inside the span so far; none when the layer is not installed or the span is not one of its own.
pub fn count(span: &Span) -> Option<u64> {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let statements = span.extensions().get::<Statements>()?.0.load(Ordering::Relaxed);
        Some(statements)
    })?
}

struct Statements(AtomicU64);

struct StatementLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StatementLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == SPAN
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Statements(AtomicU64::new(0)));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(statements) = span.extensions().get::<Statements>() {
                statements.0.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}
