//! Waking users at the intended times.

use std::future::poll_fn;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

/// Wakes the users who wait for their tickets' times, from a thread of its own: tokio's timer rounds up to whole
/// milliseconds, the operating system's is good to some tens of microseconds.
pub(super) struct Pacer {
    /// Tickets below this index are due.
    due: AtomicUsize,
    /// One for each ticket.
    wakers: Box<[AtomicWaker]>,
    stopped: AtomicBool,
}

/// The pacer sleeps at least so long, and then wakes all whose time has come: at ten thousand requests a second, one
/// wake-up of the thread for each would cost the processor more than the requests do.
const GRAIN: Duration = Duration::from_micros(200);
/// The pacer looks whether it was stopped at least so often.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

impl Pacer {
    pub(super) fn new(tickets: usize) -> Self {
        Self {
            due: AtomicUsize::new(0),
            wakers: (0..tickets).map(|_| AtomicWaker::new()).collect(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Waits until the ticket is due.
    pub(super) async fn due(&self, ticket: usize) {
        poll_fn(|context| {
            if self.due.load(Ordering::Acquire) > ticket {
                return Poll::Ready(());
            }
            self.wakers[ticket].register(context.waker());
            // The ticket may have become due between the look and the registration.
            if self.due.load(Ordering::Acquire) > ticket { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Makes the tickets due at their times after `t0`, which are ascending, and returns after the last one. Blocks.
    pub(super) fn run(&self, t0: Instant, mut times: impl Iterator<Item = Duration>) {
        // Linux lets a sleep end 50 µs late to save wake-ups, which every response would be charged with. A system that
        // refuses only keeps its 50 µs.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
        let mut upcoming = times.next();
        let mut next = 0;
        while let Some(at) = upcoming {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            let early = (t0 + at).saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early.clamp(GRAIN, LONGEST_SLEEP));
                continue;
            }
            let now = t0.elapsed();
            let first = next;
            while upcoming.is_some_and(|at| at <= now) {
                upcoming = times.next();
                next += 1;
            }
            self.due.store(next, Ordering::Release);
            for waker in &self.wakers[first..next] {
                waker.wake();
            }
        }
    }

    /// Makes [`run`](Self::run) return soon.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}
