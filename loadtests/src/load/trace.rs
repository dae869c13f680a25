//! The traces that the requests name, in the header of the W3C's Trace Context.

use rand::Rng;
use rand_pcg::Pcg64;
use target_app::telemetry::TraceContext;

use super::arrivals;

/// Draws of the generator for one request: two for the trace's id, one for the span's.
const DRAWS: u128 = 3;

/// The traces of a load's requests: each has its own, and a seed repeats them.
pub(super) struct Traces(Pcg64);

impl Traces {
    pub(super) fn new(seed: u64) -> Self {
        Self(arrivals::seeded(seed))
    }

    /// The trace of the load's request with this number.
    pub(super) fn of(&self, number: usize) -> TraceContext {
        let mut rng = self.0.clone();
        rng.advance(DRAWS * number as u128);
        let trace_id = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        // Zero stands for no id.
        TraceContext { trace_id: trace_id.max(1), span_id: rng.next_u64().max(1), sampled: true }
    }
}

/// A seed for [`Plan::trace_seed`](super::Plan::trace_seed) from words that tell loads apart: FNV-1a, which stays the
/// same from one release to the next.
pub fn trace_seed(words: &str) -> u64 {
    words
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
