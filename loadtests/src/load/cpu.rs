//! What the generator's threads had of the processors.

use std::fs;
use std::time::Duration;

/// Processor time of this process's threads, as Linux's scheduler accounts for it (`/proc/self/task/*/schedstat`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Time on a processor.
    pub running: Duration,
    /// Time ready to run, and waiting for a processor.
    pub waiting: Duration,
}

impl Cpu {
    /// The threads' time until now; none where the system does not tell.
    pub(super) fn now() -> Option<Self> {
        let mut all = Self::default();
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
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.running += other.running;
        self.waiting += other.waiting;
    }
}
