//! Arrival schedules: when each request is meant to start, made before the load begins.
//!
//! Every function returns offsets from the start of the load, ascending, and none at or after `duration`. The random ones
//! draw from the generator they are given, so a seed repeats a schedule to the nanosecond.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// The generator of the schedules: its stream stays the same from one release to the next.
pub fn seeded(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// One arrival every `1 / rate` seconds, the first at zero.
///
/// # Panics
/// When `rate`, in requests a second, is not a positive number.
pub fn constant(rate: f64, duration: Duration) -> Vec<Duration> {
    check(rate);
    let count = (rate * duration.as_secs_f64()).ceil() as u64;
    (0..count).map(|n| Duration::from_secs_f64(n as f64 / rate)).filter(|at| *at < duration).collect()
}

/// Independent arrivals at `rate` requests a second on average: gaps are exponential, as those of many users who know
/// nothing of each other.
///
/// # Panics
/// When `rate` is not a positive number.
pub fn poisson(rng: &mut impl Rng, rate: f64, duration: Duration) -> Vec<Duration> {
    check(rate);
    let mut arrivals = Vec::with_capacity((rate * duration.as_secs_f64() * 1.1) as usize);
    let mut at = exponential(rng) / rate;
    while at < duration.as_secs_f64() {
        arrivals.push(Duration::from_secs_f64(at));
        at += exponential(rng) / rate;
    }
    arrivals
}

/// Poisson arrivals at `base` requests a second, and at `peak` during the `width` that begins at `start`: a flash sale.
///
/// # Panics
/// When a rate is not a positive number.
pub fn spike(
    rng: &mut impl Rng,
    base: f64,
    peak: f64,
    start: Duration,
    width: Duration,
    duration: Duration,
) -> Vec<Duration> {
    let start = start.min(duration);
    let end = (start + width).min(duration);
    let mut arrivals = poisson(rng, base, start);
    arrivals.extend(poisson(rng, peak, end - start).into_iter().map(|at| start + at));
    arrivals.extend(poisson(rng, base, duration - end).into_iter().map(|at| end + at));
    arrivals
}

/// Poisson arrivals whose rate goes in a straight line from `from` to `to` requests a second.
///
/// # Panics
/// When a rate is not a positive number.
pub fn ramp(rng: &mut impl Rng, from: f64, to: f64, duration: Duration) -> Vec<Duration> {
    check(from);
    check(to);
    // Thinning (Lewis and Shedler, 1979): draw at the highest rate and keep each arrival with the share of it that
    // holds at its time.
    let highest = from.max(to);
    poisson(rng, highest, duration)
        .into_iter()
        .filter(|at| {
            let rate = from + (to - from) * at.as_secs_f64() / duration.as_secs_f64();
            rng.random::<f64>() * highest < rate
        })
        .collect()
}

/// A draw from the exponential distribution with mean 1, by inversion.
fn exponential(rng: &mut impl Rng) -> f64 {
    // `random` is in 0..1, and the logarithm of zero is not a time.
    -(1.0 - rng.random::<f64>()).ln()
}

fn check(rate: f64) {
    assert!(rate.is_finite() && rate > 0.0, "an arrival rate must be a positive number, and was {rate}");
}
