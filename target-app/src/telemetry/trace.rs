//! W3C Trace Context: the ids by which a request is found again in logs, traces and reports.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, in a request and in its answer.
///
/// The standard gives answers none: `traceresponse` never left the draft. The answer uses the same name and syntax.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One request's place in a trace: `00-<trace id>-<span id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Of everything that one cause has led to; never 0.
    pub trace_id: u128,
    /// Of this part of it; never 0.
    pub span_id: u64,
    /// Whether the caller keeps the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// A trace that begins here.
    pub fn begin() -> Self {
        TraceContext { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), sampled: true }
    }

    /// The caller's place in its trace. None when it sent none, several, or one that the standard does not allow.
    pub fn of_caller(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        match (sent.next(), sent.next()) {
            (Some(header), None) => Self::parse(header.as_bytes()),
            _ => None,
        }
    }

    /// A new part of the same trace.
    pub fn child(self) -> Self {
        TraceContext { span_id: new_span_id(), ..self }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let hex = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            let is_lower_hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            u128::from_str_radix(str::from_utf8(digits).ok().filter(|_| is_lower_hex)?, 16).ok()
        };
        let version = hex(0, 2).filter(|version| *version != 0xff)?;
        let ends_well = match text.get(55) {
            None => true,
            // A later version may append to what this one knows.
            Some(next) => version > 0 && *next == b'-',
        };
        let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
        let context = TraceContext {
            trace_id: hex(3, 35)?,
            span_id: hex(36, 52)? as u64,
            sampled: hex(53, 55)? & 1 == 1,
        };
        (ends_well && dashes && context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// As the value of [`TRACEPARENT`].
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("hexadecimal digits and dashes may stand in a header")
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceContext { trace_id, span_id, sampled } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*sampled))
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        TraceContext::of_caller(&headers)
    }

    #[test]
    fn what_is_written_can_be_read() {
        assert_eq!(parse(VALID).unwrap().to_string(), VALID);
        for context in [TraceContext::begin(), parse(VALID).unwrap().child()] {
            assert_eq!(parse(context.header().to_str().unwrap()), Some(context));
        }
    }

    #[test]
    fn a_child_is_another_part_of_the_same_trace() {
        let parent = parse(VALID).unwrap();
        let child = parent.child();
        assert_eq!((child.trace_id, child.sampled), (parent.trace_id, true));
        assert_ne!(child.span_id, parent.span_id);
    }

    #[test]
    fn what_the_standard_does_not_allow_is_ignored() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        // A later version is read as far as it is known.
        assert_eq!(parse(&VALID.replacen("00", "cc", 1)), parse(VALID));
        assert_eq!(parse(&format!("{}-more", VALID.replacen("00", "cc", 1))), parse(VALID));

        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static(VALID));
        twice.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceContext::of_caller(&twice), None);
    }
}
