//! What keeps an outside service that is in trouble from taking this one along.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::CallError;

/// Consecutive failures that open the breaker, and how long it stays open.
const FAILURES: u32 = 5;
const REST: Duration = Duration::from_millis(250);

/// Bounds the calls to one service: how long each may take, how many may be under way, and whether it is worth trying at all.
#[derive(Debug)]
pub struct Guard {
    service: &'static str,
    deadline: Duration,
    slots: Semaphore,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// No call is made before this moment.
    resting_until: Option<Instant>,
}

impl Guard {
    /// For `slots` calls at a time.
    pub fn new(service: &'static str, deadline: Duration, slots: usize) -> Self {
        Guard { service, deadline, slots: Semaphore::new(slots), breaker: Mutex::default() }
    }

    /// What `call` comes to, unless it takes too long.
    ///
    /// # Errors
    /// [`CallError::Busy`] without calling, when too many calls are under way, or too many have failed; [`CallError::Unknown`] when the
    /// deadline is over.
    pub async fn call<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let service = self.service;
        let slot = self.slots.try_acquire();
        if slot.is_err() || !self.may_try() {
            return Err(CallError::Busy { service });
        }
        let unanswered = Err(CallError::Unknown { service, cause: None });
        let answered = tokio::time::timeout(self.deadline, call).await.unwrap_or(unanswered);
        self.learn(!matches!(answered, Err(CallError::Unknown { .. })));
        answered
    }

    /// Whether the service is worth a call. The first one after a rest is a trial: the others are refused until it has ended.
    fn may_try(&self) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match breaker.resting_until {
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                breaker.resting_until = Some(Instant::now() + self.deadline);
                true
            }
            None => true,
        }
    }

    fn learn(&self, answered: bool) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures += 1;
        if breaker.failures >= FAILURES {
            breaker.resting_until = Some(Instant::now() + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    fn guard(slots: usize) -> Guard {
        Guard::new("test service", DEADLINE, slots)
    }

    async fn hangs() -> Result<(), CallError> {
        std::future::pending().await
    }

    async fn answers() -> Result<(), CallError> {
        Ok(())
    }

    fn is_busy<T>(called: Result<T, CallError>) -> bool {
        matches!(called, Err(CallError::Busy { .. }))
    }

    #[tokio::test]
    async fn a_call_beyond_the_slots_is_refused_at_once() {
        let guard = guard(2);
        let mut under_way = [Box::pin(guard.call(hangs())), Box::pin(guard.call(hangs()))];
        for call in &mut under_way {
            assert!(futures::poll!(call).is_pending());
        }
        assert!(is_busy(guard.call(answers()).await));
        drop(under_way);
        guard.call(answers()).await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_never_answers_is_left_alone_and_then_tried_again_by_one() {
        let guard = guard(100);
        let hanging = (0..FAILURES).map(|_| guard.call(hangs()));
        for call in futures::future::join_all(hanging).await {
            assert!(matches!(call, Err(CallError::Unknown { .. })));
        }
        assert!(is_busy(guard.call(answers()).await));
        // The rest is over when somebody says so, and not when a clock does.
        guard.breaker.lock().unwrap().resting_until = Some(Instant::now());
        let mut trial = Box::pin(guard.call(hangs()));
        assert!(futures::poll!(&mut trial).is_pending());
        assert!(is_busy(guard.call(answers()).await), "one trial at a time");
        drop(trial);
        guard.breaker.lock().unwrap().resting_until = Some(Instant::now());
        guard.call(answers()).await.unwrap();
        guard.call(answers()).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_says_no_is_an_answer() {
        let guard = guard(1);
        for _ in 0..2 * FAILURES {
            let refused = async { Err::<(), _>(CallError::NotConfigured) };
            assert!(matches!(guard.call(refused).await, Err(CallError::NotConfigured)));
        }
    }
}
