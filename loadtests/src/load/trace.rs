//! Trace ids of the requests, in the header of the W3C's Trace Context.

use rand::Rng;
use rand_pcg::Pcg64;
use reqwest::header::{HeaderName, HeaderValue};

use super::arrivals;

/// The header that names a request's trace.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Draws of the generator for one request: two for the trace's id, one for the span's.
const DRAWS: u128 = 3;

/// The trace ids of a load's requests: each has its own, and a seed repeats them.
pub(super) struct TraceIds(Pcg64);

impl TraceIds {
    pub(super) fn new(seed: u64) -> Self {
        Self(arrivals::seeded(seed))
    }

    /// The trace id of the load's request with this number.
    pub(super) fn trace_id(&self, number: usize) -> u128 {
        self.ids(number).0
    }

    /// The header's value for the same request: version 00, trace, span, and the flag that asks for it to be recorded.
    pub(super) fn traceparent(&self, number: usize) -> HeaderValue {
        let (trace, span) = self.ids(number);
        HeaderValue::try_from(format!("00-{trace:032x}-{span:016x}-01"))
            .expect("hexadecimal digits and hyphens make a header")
    }

    fn ids(&self, number: usize) -> (u128, u64) {
        let mut rng = self.0.clone();
        rng.advance(DRAWS * number as u128);
        let trace = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        // Zero stands for no id.
        (trace.max(1), rng.next_u64().max(1))
    }
}

/// A seed for [`Plan::trace_seed`](super::Plan::trace_seed) from words that tell loads apart: FNV-1a, which stays the
/// same from one release to the next.
pub fn trace_seed(words: &str) -> u64 {
    words
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
