//! Whether the async runtime keeps up.
//!
//! A worker looks at its timers and sockets when it parks, and at the latest after 61 tasks. Both moves counters that
//! tokio keeps for each worker. A thread outside the runtime reads them every [`TICK`]: a worker that is not parked and
//! whose counters stand still has been busy with the same few tasks, and whatever else it should have done has waited.
//! So one blocked worker shows, however many others are free, and a worker that is busy with short tasks does not.
//!
//! Each tick is a question: how long from now until this worker looks around again? The answers go into one histogram,
//! so a worker that was blocked for 200 ms leaves 20 of them, evenly spread from 0 to 200 ms, as the waits of clients
//! who come at random times are. Answers are rounded down to a tick.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::Histogram;
use tokio::runtime::RuntimeMetrics;

use super::window::Window;

/// How often the workers are looked at. Twice as often would cost twice 0.3 % of a processor.
pub const TICK: Duration = Duration::from_millis(10);

/// A worker that does not come back is reported after so many ticks, not never.
const LONGEST: usize = 1_000;

/// What tells that a worker has looked around: it has parked, or it has finished a round of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    /// Odd while it is parked.
    parks: u64,
    busy: Duration,
}

impl Sign {
    fn of(runtime: &RuntimeMetrics, worker: usize) -> Self {
        Sign {
            parks: runtime.worker_park_unpark_count(worker),
            busy: runtime.worker_total_busy_duration(worker),
        }
    }

    fn parked(self) -> bool {
        self.parks % 2 == 1
    }
}

/// A worker's questions that have no answer yet.
#[derive(Debug)]
struct Worker {
    sign: Sign,
    asked: Vec<Instant>,
}

impl Worker {
    /// Asks at `now`, when the worker shows `sign`. Calls `answer` for each earlier question that this answers.
    fn look(&mut self, sign: Sign, now: Instant, mut answer: impl FnMut(Duration)) {
        if sign != self.sign || sign.parked() || self.asked.len() >= LONGEST {
            // When it came back is known to a tick: it was away when it was last looked at.
            if let Some(last) = self.asked.last().copied() {
                self.asked.drain(..).for_each(|asked| answer(last - asked));
            }
            self.sign = sign;
        }
        if sign.parked() { answer(Duration::ZERO) } else { self.asked.push(now) }
    }
}

/// Looks at the workers of a runtime.
#[derive(Debug)]
struct Watch {
    runtime: RuntimeMetrics,
    workers: Vec<Worker>,
    lag: Histogram,
    /// What the workers did, all together.
    busy: Arc<Mutex<Window>>,
}

impl Watch {
    fn new(runtime: RuntimeMetrics, lag: Histogram) -> Self {
        let workers = (0..runtime.num_workers())
            .map(|worker| Worker { sign: Sign::of(&runtime, worker), asked: Vec::new() })
            .collect();
        let busy = Arc::new(Mutex::new(Window::new(Instant::now())));
        Watch { runtime, workers, lag, busy }
    }

    fn tick(&mut self, now: Instant) {
        let mut worked = Duration::ZERO;
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let (before, sign) = (worker.sign.busy, Sign::of(&self.runtime, index));
            worker.look(sign, now, |lag| self.lag.observe(lag.as_secs_f64()));
            worked += worker.sign.busy.saturating_sub(before);
        }
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).add(now, worked);
    }
}

/// A thread that watches a runtime as long as this lives.
#[derive(Debug)]
pub struct Watching {
    runtime: RuntimeMetrics,
    busy: Arc<Mutex<Window>>,
    _stop: mpsc::Sender<()>,
}

impl Watching {
    /// The runtime's own counts.
    pub fn runtime(&self) -> &RuntimeMetrics {
        &self.runtime
    }

    /// Share of the workers' time that they were busy over the last two seconds, from 0 to 1. What a
    /// worker does counts when it looks around again.
    pub fn busy_ratio(&self) -> f64 {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner).rate(Instant::now());
        (busy / self.runtime.num_workers() as f64).min(1.0)
    }
}

/// Watches a runtime, and observes into `lag`.
///
/// # Errors
///
/// When the system has no thread to spare.
pub fn watch(runtime: RuntimeMetrics, lag: Histogram) -> std::io::Result<Watching> {
    let (stop, stopped) = mpsc::channel();
    let mut watch = Watch::new(runtime.clone(), lag);
    let busy = watch.busy.clone();
    thread::Builder::new().name("runtime-lag".into()).spawn(move || {
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            watch.tick(Instant::now());
        }
    })?;
    Ok(Watching { runtime, busy, _stop: stop })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use prometheus::HistogramOpts;

    use super::*;

    fn lags(worker: &mut Worker, looks: &[(u64, u64, u64)]) -> Vec<u64> {
        let start = Instant::now();
        let mut lags = Vec::new();
        for (at, parks, busy) in looks {
            let sign = Sign { parks: *parks, busy: Duration::from_millis(*busy) };
            worker.look(sign, start + Duration::from_millis(*at), |lag| lags.push(lag.as_millis() as u64));
        }
        lags
    }

    fn worker() -> Worker {
        Worker { sign: Sign { parks: 1, busy: Duration::ZERO }, asked: Vec::new() }
    }

    #[test]
    fn a_worker_that_stays_away_leaves_the_wait_of_everybody_who_came_meanwhile() {
        let looks = [(0, 1, 0), (10, 2, 0), (20, 2, 0), (30, 2, 0), (40, 2, 0), (50, 3, 38)];
        assert_eq!(lags(&mut worker(), &looks), [0, 30, 20, 10, 0, 0]);
    }

    #[test]
    fn a_worker_that_is_busy_with_short_tasks_does_not_lag() {
        let looks = [(0, 2, 0), (10, 2, 9), (20, 2, 18), (30, 4, 26), (40, 5, 28)];
        assert_eq!(lags(&mut worker(), &looks), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_worker_that_never_comes_back_is_reported_all_the_same() {
        let looks: Vec<_> = (0..=LONGEST as u64).map(|n| (10 * n, 2, 0)).collect();
        let lags = lags(&mut worker(), &looks);
        assert_eq!((lags.len(), lags[0]), (LONGEST, 10 * (LONGEST as u64 - 1)));
    }

    #[test]
    fn one_blocked_worker_of_two_shows() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let lag = Histogram::with_opts(HistogramOpts::new("lag", "lag").buckets(vec![1.0])).unwrap();
        let metrics = runtime.metrics();

        let (blocked, is_blocked) = channel();
        let (release, released) = channel::<()>();
        let task = runtime.spawn(async move {
            blocked.send(()).unwrap();
            // Blocks the worker, on purpose.
            let _ = released.recv();
        });
        is_blocked.recv().unwrap();
        // The watch's time is made up, so that the test does not depend on the real one.
        let mut watch = Watch::new(metrics.clone(), lag.clone());
        let start = Instant::now();
        watch.tick(start);
        watch.tick(start + Duration::from_secs(2));
        drop(release);
        runtime.block_on(task).unwrap();
        while !(0..2).all(|worker| Sign::of(&metrics, worker).parked()) {
            thread::yield_now();
        }
        watch.tick(start + Duration::from_secs(3));

        assert!(lag.get_sample_sum() >= 2.0, "{}", lag.get_sample_sum());
        let others = lag.get_sample_count();
        assert!(others >= 4, "the free worker is asked as well: {others}");
        let busy = watch.busy.lock().unwrap().rate(start + Duration::from_secs(3));
        assert!(busy > 0.0, "what it did counts when it is done");
    }
}
