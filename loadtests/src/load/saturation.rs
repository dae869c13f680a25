//! Whether the generator, rather than the server, shaped the numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::cpu::Cpu;
use super::measure::Fate;

/// A later wake-up than this of a waiting user, for more than one ticket in a hundred, makes a load invalid.
const TIMER_LAG_BOUND: Duration = Duration::from_millis(20);
/// A ticket that waits longer than this for a free user counts as queued.
const LATE: Duration = Duration::from_millis(1);
/// A share of queued tickets above this needs an explanation: it reaches the 99th percentile.
const QUEUED_SHARE_BOUND: f64 = 0.01;
/// An answer within this is quick: users must be enough for a server that takes no longer.
const QUICK: Duration = Duration::from_millis(10);

/// Why the numbers of a load say nothing of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saturation {
    /// What was seen.
    pub reason: String,
    /// What to change.
    pub hint: String,
}

impl std::fmt::Display for Saturation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generator saturated: {}", self.reason)
    }
}

/// Judges an open load by its tickets due after the warm-up. `fates` are all its tickets in order of arrival, `timer_lag` is
/// of the measured ones, in microseconds; `cpu` is only told in the hint.
///
/// Late timers are always the generator's fault. Tickets that had to wait for a free user are so only sometimes: when the
/// server is slow, every user waits for it, and that the next ticket is late is the server's doing, which its response
/// time rightly shows. So the load is replayed on paper twice, with the same arrivals and users:
///
/// 1. with no answer slower than [`QUICK`]. If tickets queue even then, there are too few users for this rate;
/// 2. with each answer a quarter and a millisecond slower than it was. If then *fewer* tickets queue than did, the users
///    were held up by something other than answers: the generator's own work.
pub(super) fn assess(
    fates: &[Fate],
    warm_up: Duration,
    users: usize,
    timer_lag: &Histogram<u64>,
    cpu: Option<Cpu>,
) -> Option<Saturation> {
    let timer_lag_p99 = Duration::from_micros(timer_lag.value_at_percentile(99.0));
    if timer_lag_p99 > TIMER_LAG_BOUND {
        return Some(Saturation {
            reason: format!(
                "the 99th percentile of its own timer's lag is {timer_lag_p99:?}, and {TIMER_LAG_BOUND:?} is the most that is valid"
            ),
            hint: hint(cpu),
        });
    }
    let measured = fates.iter().filter(|fate| fate.at >= warm_up);
    let share = |late: usize| late as f64 / measured.clone().count().max(1) as f64;
    let queued = share(measured.clone().filter(|fate| fate.queued() > LATE).count());
    if queued <= QUEUED_SHARE_BOUND {
        return None;
    }
    let quick = share(replay(fates, warm_up, users, |service| service.min(QUICK)));
    if quick > QUEUED_SHARE_BOUND {
        return Some(Saturation {
            reason: format!(
                "{:.1} % of the requests waited for one of {users} users, and {:.1} % would have with every answer within {QUICK:?}",
                queued * 100.0,
                quick * 100.0
            ),
            hint: format!("allow more than {users} users, or lower the rate"),
        });
    }
    let explained = share(replay(fates, warm_up, users, |service| service.mul_f64(1.25) + LATE));
    (queued - explained > QUEUED_SHARE_BOUND).then(|| Saturation {
        reason: format!(
            "{:.1} % of the requests waited for one of {users} users, and the server's answers explain only {:.1} %",
            queued * 100.0,
            explained * 100.0
        ),
        hint: hint(cpu),
    })
}

/// What to do about a generator that is late. Its waits for a processor are told here, and are no reason of their own: a
/// server on the same machine that is busy makes the generator wait too, and harms the numbers only when that shows above.
fn hint(cpu: Option<Cpu>) -> String {
    let remedy = "leave the processors to this run, or lower the rate";
    match cpu {
        Some(cpu) => format!(
            "{remedy}: the generator's threads ran for {:.1} s, and waited {:.1} s for a processor",
            cpu.running.as_secs_f64(),
            cpu.waiting.as_secs_f64()
        ),
        None => remedy.to_owned(),
    }
}

/// How many tickets due after the warm-up would have been sent late, had `service` of their answers' times been all that
/// holds up a user.
fn replay(fates: &[Fate], warm_up: Duration, users: usize, service: impl Fn(Duration) -> Duration) -> usize {
    let mut free_at: BinaryHeap<Reverse<Duration>> = (0..users).map(|_| Reverse(Duration::ZERO)).collect();
    let mut late = 0;
    for fate in fates {
        let Some(mut earliest) = free_at.peek_mut() else { break };
        let start = fate.at.max(earliest.0);
        late += usize::from(fate.at >= warm_up && start - fate.at > LATE);
        *earliest = Reverse(start + service(fate.service().unwrap_or_default()));
    }
    late
}
