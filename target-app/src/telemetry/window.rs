//! Rates over the last moments, the same for everybody who asks: nobody's question begins a new period for the others.

use std::time::{Duration, Instant};

/// The moments that count. Prometheus looks about once a second here, and the waits for a connection are bounded by a few.
pub const WINDOW: Duration = Duration::from_secs(2);

/// How finely the window moves on.
const SLOT: Duration = Duration::from_millis(100);

const SLOTS: usize = (WINDOW.as_millis() / SLOT.as_millis()) as usize;

/// Times that were added up over the last [`WINDOW`].
#[derive(Debug)]
pub struct Window {
    start: Instant,
    /// A ring: each slot holds what was added in one [`SLOT`] of time.
    slots: [Duration; SLOTS],
    newest: usize,
}

impl Window {
    /// Begins at `start`, with nothing.
    pub fn new(start: Instant) -> Self {
        Window { start, slots: [Duration::ZERO; SLOTS], newest: 0 }
    }

    /// Adds a time that ended at `now`.
    pub fn add(&mut self, now: Instant, time: Duration) {
        self.advance(now);
        self.slots[self.newest % SLOTS] += time;
    }

    /// Seconds added in a second, on average over the window, or since its beginning where that is later.
    pub fn rate(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let oldest = self.newest.saturating_sub(SLOTS - 1) as u32;
        let period = now.saturating_duration_since(self.start + SLOT * oldest).as_secs_f64();
        let sum: Duration = self.slots.iter().sum();
        if period > 0.0 { sum.as_secs_f64() / period } else { 0.0 }
    }

    fn advance(&mut self, now: Instant) {
        let now = (now.saturating_duration_since(self.start).as_millis() / SLOT.as_millis()) as usize;
        for passed in (self.newest + 1..=now).take(SLOTS) {
            self.slots[passed % SLOTS] = Duration::ZERO;
        }
        self.newest = self.newest.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_rate_is_of_the_last_moments_only_and_the_same_for_everybody_who_asks() {
        let start = Instant::now();
        let mut window = Window::new(start);
        window.add(start + ms(50), ms(100));
        window.add(start + ms(450), ms(300));
        for _ in 0..3 {
            assert_eq!(window.rate(start + ms(500)), 0.8);
        }
        // Both have left the window, and so would they have if nobody had looked.
        window.add(start + ms(9_000), ms(1_000));
        assert_eq!(window.rate(start + ms(9_100)), 1.0 / 1.9);
        assert_eq!(window.rate(start + ms(60_000)), 0.0);
    }

    #[test]
    fn nothing_has_happened_at_the_beginning() {
        let start = Instant::now();
        assert_eq!(Window::new(start).rate(start), 0.0);
    }
}
