//! Whether the generator, rather than the server, shaped the numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::cpu::Cpu;
use super::fate::Fate;

/// A later wake-up than this of a waiting user, for more than one ticket in a hundred, makes a load invalid.
const TIMER_LAG_BOUND: Duration = Duration::from_millis(20);
/// Up to this, the load was still about what it was meant to be, and no answer is given up because of it.
const SLIGHT_TIMER_LAG: Duration = Duration::from_millis(100);
/// A ticket that waits longer than this for a free user counts as queued.
const LATE: Duration = Duration::from_millis(1);
/// A share of queued tickets above this needs an explanation: it reaches the 99th percentile.
const QUEUED_SHARE_BOUND: f64 = 0.01;
/// A generator that uses more than this part of all processor time competes with the server on the same machine.
const CPU_SHARE_BOUND: f64 = 0.25;
/// An answer within this is quick: users must be enough for a server that takes no longer.
const QUICK: Duration = Duration::from_millis(10);

/// Why the numbers of a load say nothing of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saturation {
    /// What was seen.
    pub reason: String,
    /// What to change.
    pub hint: String,
    /// Whether it was slight: what fails by more than that, or is not measured in time, fails all the same.
    pub slight: bool,
}

impl std::fmt::Display for Saturation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generator saturated: {}", self.reason)
    }
}

/// Judges an open load by its tickets due after the warm-up. `fates` are all its tickets in order of arrival, `timer_lag` is
/// of the measured ones, in microseconds.
///
/// Late timers are always the generator's fault. Tickets that had to wait for a free user are so only sometimes: when the
/// server is slow, every user waits for it, and that the next ticket is late is the server's doing, which its response
/// time rightly shows. So the load is replayed on paper twice, with the same arrivals and users:
///
/// 1. with no answer slower than [`QUICK`]. If tickets queue even then, there are too few users for this rate;
/// 2. with each answer a quarter and a millisecond slower than it was. If then *fewer* tickets queue than did, the users
///    were held up by something other than answers: the generator's own work.
///
/// What remains is a generator that needs a good part of the machine and does not get it: then the answers are late
/// because it reads them late. A light generator that waits for a processor is not at fault: a busy server on the same
/// machine makes it wait too.
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
            slight: timer_lag_p99 <= SLIGHT_TIMER_LAG,
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
            slight: false,
        });
    }
    let explained = share(replay(fates, warm_up, users, |service| service.mul_f64(1.25) + LATE));
    // Replays are not exact to the percent where the load is close to what the users can carry.
    if queued - explained > QUEUED_SHARE_BOUND.max(queued / 4.0) {
        return Some(Saturation {
            reason: format!(
                "{:.1} % of the requests waited for one of {users} users, and the server's answers explain only {:.1} %",
                queued * 100.0,
                explained * 100.0
            ),
            hint: hint(cpu),
            slight: false,
        });
    }
    let cpu = cpu?;
    (cpu.share() > CPU_SHARE_BOUND && cpu.waiting > cpu.running).then(|| Saturation {
        reason: format!(
            "{:.1} % of the requests waited for one of {users} users, while it used {:.0} % of all processor time and waited for more",
            queued * 100.0,
            cpu.share() * 100.0
        ),
        hint: hint(Some(cpu)),
        slight: false,
    })
}

/// What to do about a generator that is late.
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
    // What was never sent would have waited like the slowest: else a server that answers nothing would look quick.
    let longest = fates.iter().filter_map(Fate::service).max().unwrap_or_default();
    let mut late = 0;
    for fate in fates {
        let Some(mut earliest) = free_at.peek_mut() else { break };
        let start = fate.at.max(earliest.0);
        late += usize::from(fate.at >= warm_up && start - fate.at > LATE);
        *earliest = Reverse(start + service(fate.service().unwrap_or(longest)));
    }
    late
}

#[cfg(test)]
mod tests {
    use super::super::fate::End;
    use super::super::request::Outcome;
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// A thousand tickets, one every millisecond, sent by the first of `users` who is free. A user is held up by the
    /// `service` of a ticket, and then by the `work` of the generator.
    fn load(users: usize, service: impl Fn(u32) -> Duration, work: Duration) -> Vec<Fate> {
        let mut free_at = vec![Duration::ZERO; users];
        (0..1000)
            .map(|ticket| {
                let at = MILLI * ticket;
                let taken = free_at.iter_mut().min().expect("there are users");
                let sent = at.max(*taken);
                let done = sent + service(ticket);
                let fate = Fate {
                    number: ticket as usize,
                    at,
                    taken: *taken,
                    sent: Some(sent),
                    done,
                    end: End::Judged(Outcome::Ok),
                };
                *taken = done + work;
                fate
            })
            .collect()
    }

    fn no_lag() -> Histogram<u64> {
        Histogram::new(3).unwrap()
    }

    fn reason(fates: &[Fate], users: usize, cpu: Option<Cpu>) -> Option<String> {
        assess(fates, Duration::ZERO, users, &no_lag(), cpu).map(|saturation| saturation.reason)
    }

    /// Ten users at 1000/s carry answers of 10 ms. The server stalls once for 300 ms.
    fn stalled(ticket: u32) -> Duration {
        if (300..310).contains(&ticket) { MILLI * 300 } else { MILLI * 2 }
    }

    #[test]
    fn a_queue_behind_a_slow_server_is_the_servers_fault() {
        let fates = load(10, stalled, Duration::ZERO);
        assert!(fates.iter().filter(|fate| fate.queued() > LATE).count() > 100);
        assert_eq!(reason(&fates, 10, None), None);
    }

    #[test]
    fn a_server_that_is_always_slow_does_not_make_the_users_too_few() {
        assert_eq!(reason(&load(20, |_| MILLI * 500, Duration::ZERO), 20, None), None);
    }

    #[test]
    fn a_queue_behind_quick_answers_means_too_few_users() {
        let reason = reason(&load(2, |_| MILLI * 3, Duration::ZERO), 2, None).unwrap();
        assert!(reason.contains("with every answer within 10ms"), "{reason}");
    }

    #[test]
    fn a_queue_that_the_answers_do_not_explain_is_the_generators_work() {
        let reason = reason(&load(10, |_| MILLI, MILLI * 20), 10, None).unwrap();
        assert!(reason.contains("explain only 0.0 %"), "{reason}");
    }

    #[test]
    fn a_heavy_generator_without_processors_is_at_fault_for_slow_answers_and_a_light_one_is_not() {
        let cpu = |running| Cpu {
            running,
            waiting: Duration::from_secs(3000),
            wall: Duration::from_secs(1),
            ..Cpu::default()
        };
        let fates = load(10, stalled, Duration::ZERO);
        let reason_with = |running| reason(&fates, 10, Some(cpu(running)));
        assert!(reason_with(Duration::from_secs(2000)).unwrap().contains("of all processor time"));
        assert_eq!(reason_with(MILLI), None);
    }

    #[test]
    fn a_late_timer_is_at_fault_even_when_nothing_queues() {
        let fates = load(10, |_| MILLI, Duration::ZERO);
        for (late, slight) in [(30_000, true), (150_000, false)] {
            let mut lag = no_lag();
            lag.record_n(500, 98).unwrap();
            lag.record_n(late, 2).unwrap();
            let saturation = assess(&fates, Duration::ZERO, 10, &lag, None).unwrap();
            assert!(saturation.reason.contains("timer"), "{saturation}");
            assert_eq!(saturation.slight, slight, "{saturation}");
        }
    }

    #[test]
    fn what_queued_in_the_warm_up_does_not_count() {
        let fates = load(2, |ticket| if ticket < 100 { MILLI * 5 } else { MILLI / 2 }, Duration::ZERO);
        assert!(assess(&fates, Duration::ZERO, 2, &no_lag(), None).is_some());
        assert_eq!(assess(&fates, MILLI * 500, 2, &no_lag(), None), None);
    }
}
