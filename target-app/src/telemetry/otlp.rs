//! Export of traces to a collector, over OTLP with protocol buffers on HTTP.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::http::Uri;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState, TracerProvider};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::trace::TraceContext;

/// How long the collector may take for a batch, and the last batch may hold up the end of the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a span waits for others to be sent with. Short, because a server under test is often killed at the end.
const DELAY: Duration = Duration::from_secs(1);

/// Parses a collector's address: `http://host:port`, with a path where it is not `/v1/traces`.
///
/// # Errors
///
/// In words for the command line.
pub fn collector(text: &str) -> Result<Uri, String> {
    match text.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()) => {
            Ok(uri)
        }
        _ => Err("a collector's address looks like http://127.0.0.1:4318, without TLS".into()),
    }
}

/// Sends finished spans to the collector, from a thread of its own.
///
/// # Errors
///
/// When the thread's runtime or the HTTP client cannot be made. An unreachable collector is no error: spans that cannot be
/// delivered are dropped.
pub fn provider(collector: &Uri, run_id: &str) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = match collector.path() {
        "/" => format!("{}/v1/traces", collector.to_string().trim_end_matches('/')),
        _ => collector.to_string(),
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_timeout(PATIENCE)
        // The next batch is soon enough, and a collector that is down gets no more of our time.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .context("the exporter of traces could not be made")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the async runtime of the exporter")?;
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", run_id.to_owned()))
        .build();
    let exporter = OnItsThread { runtime, exporter, failing: AtomicBool::new(false) };
    let batches = BatchConfigBuilder::default().with_scheduled_delay(DELAY).build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    Ok(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build())
}

/// Sends what is queued and ends the export.
pub fn shut_down(provider: &SdkTracerProvider) {
    // What the collector did not take is lost, and was said so.
    let _ = provider.shutdown_with_timeout(PATIENCE);
}

/// The layer that makes a span of each request, with an event for each statement.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(provider: &SdkTracerProvider) -> impl Layer<S> {
    let filter = filter_fn(|metadata| {
        if metadata.is_span() {
            metadata.name() == sql_tally::SPAN
        } else {
            metadata.target() == sql_tally::QUERY
        }
    });
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_filter(filter.with_max_level_hint(LevelFilter::DEBUG))
}

/// Names the span, makes it part of the caller's trace, if there is one, and says what its ids are.
pub fn begin(span: &Span, caller: Option<TraceContext>, name: &str) -> Option<TraceContext> {
    span.record("otel.name", name);
    span.record("otel.kind", "server");
    if let Some(TraceContext { trace_id, span_id, sampled }) = caller {
        let flags = TraceFlags::default().with_sampled(sampled);
        let parent = SpanContext::new(trace_id.into(), span_id.into(), flags, true, TraceState::default());
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    let found = context.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(context.span_id().to_bytes()),
        sampled: context.is_sampled(),
    })?;
    span.record("trace_id", tracing::field::display(format_args!("{:032x}", found.trace_id)));
    Some(found)
}

/// Runs the exporter's HTTP client, which is async, on the SDK's thread, which is not.
///
/// The runtime is its own: the server's may be blocked, which is what the traces are to show.
#[derive(Debug)]
struct OnItsThread {
    runtime: tokio::runtime::Runtime,
    exporter: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

impl SpanExporter for OnItsThread {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let spans = batch.len();
        let result = self.runtime.block_on(self.exporter.export(batch));
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result
            && !was_failing
        {
            tracing::warn!(%error, spans, "traces cannot be exported; those that come now are dropped");
        }
        std::future::ready(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
