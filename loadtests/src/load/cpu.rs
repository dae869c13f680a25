//! What the generator's threads had of the processors.

use std::fs;
use std::time::{Duration, Instant};

use target_app::telemetry::process::{others_seconds, stolen_seconds};

/// Processor time of this process's threads, as Linux's scheduler accounts for it (`/proc/self/task/*/schedstat`), and what
/// the machine itself did not get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Time on a processor.
    pub running: Duration,
    /// Time ready to run, and waiting for a processor.
    pub waiting: Duration,
    /// Time that passed meanwhile.
    pub wall: Duration,
    /// Time of all processors that the machine's host gave to others.
    pub stolen: Duration,
    /// Time of all processors that processes had which this one has not started, directly or not.
    pub others: Duration,
}

impl Cpu {
    /// The threads' time until now, and the wall's since `start`; none where the system does not tell.
    pub(super) fn now(start: Instant) -> Option<Self> {
        let mut all = Self {
            wall: start.elapsed(),
            stolen: Duration::from_secs_f64(stolen_seconds()?),
            others: Duration::from_secs_f64(others_seconds()?),
            ..Self::default()
        };
        for task in fs::read_dir("/proc/self/task").ok()? {
            // A thread that has just ended has no file any more.
            let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
            let mut fields = text.split_ascii_whitespace().map(str::parse);
            let (Some(Ok(running)), Some(Ok(waiting))) = (fields.next(), fields.next()) else { return None };
            all.running += Duration::from_nanos(running);
            all.waiting += Duration::from_nanos(waiting);
        }
        Some(all)
    }

    /// What was spent since an earlier look. A thread that ended between the two is missing.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            running: self.running.saturating_sub(earlier.running),
            waiting: self.waiting.saturating_sub(earlier.waiting),
            wall: self.wall.saturating_sub(earlier.wall),
            stolen: self.stolen.saturating_sub(earlier.stolen),
            others: self.others.saturating_sub(earlier.others),
        }
    }

    /// The part of all the machine's processor time that the threads used, 0 to 1.
    pub fn share(self) -> f64 {
        self.of_all(self.running)
    }

    /// The part of all the machine's processor time that was stolen, 0 to 1.
    pub fn stolen_share(self) -> f64 {
        self.of_all(self.stolen)
    }

    /// The part of all the machine's processor time that others had, 0 to 1: neither the generator nor servers or databases that
    /// its process started.
    pub fn others_share(self) -> f64 {
        self.of_all(self.others)
    }

    fn of_all(self, time: Duration) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        time.as_secs_f64() / (self.wall.as_secs_f64() * processors as f64).max(f64::MIN_POSITIVE)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.running += other.running;
        self.waiting += other.waiting;
        self.wall += other.wall;
        self.stolen += other.stolen;
        self.others += other.others;
    }
}
