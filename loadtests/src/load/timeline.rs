//! When a load started, and what went wrong on purpose while it ran.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::lock;

/// The time axis of one load, shared by those who drive it and those who disturb it.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    pub(super) start: watch::Sender<Option<Instant>>,
    incidents: Arc<Mutex<Vec<Incident>>>,
}

/// Something that went wrong on purpose. Times are from the start of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Such as `server 1 is killed`.
    pub what: String,
    /// The one of the [`Plan::targets`](super::Plan::targets) whose connections break.
    pub target: Option<usize>,
    /// When it began.
    pub from: Duration,
    /// When it was over; none while it lasts.
    pub to: Option<Duration>,
}

impl Timeline {
    /// The load starts now: for those who disturb servers without one.
    pub fn begin(&self) {
        self.start.send_replace(Some(Instant::now()));
    }

    /// Waits for the start of the load. It may be a few milliseconds away then.
    pub async fn started(&self) -> Instant {
        let mut start = self.start.subscribe();
        let started = start.wait_for(Option::is_some).await.expect("the sender is in `self`");
        started.expect("it is some")
    }

    /// Waits until a moment of the load.
    pub async fn at(&self, moment: Duration) {
        tokio::time::sleep_until((self.started().await + moment).into()).await;
    }

    /// Notes that something goes wrong from now until `lasting` is over.
    pub async fn incident<T>(
        &self,
        what: &str,
        target: Option<usize>,
        lasting: impl Future<Output = T>,
    ) -> T {
        let start = self.started().await;
        let number = {
            let mut incidents = lock(&self.incidents);
            incidents.push(Incident { what: what.into(), target, from: start.elapsed(), to: None });
            incidents.len() - 1
        };
        let done = lasting.await;
        lock(&self.incidents)[number].to = Some(start.elapsed());
        done
    }

    /// All that went wrong until now, in the sequence in which it began.
    pub fn incidents(&self) -> Vec<Incident> {
        lock(&self.incidents).clone()
    }

    /// Whether the connection of a request to `target` may have broken because of an incident.
    pub(super) fn cut_off(&self, target: usize, sent: Duration, done: Duration) -> bool {
        let cut = |incident: &Incident| {
            incident.target == Some(target)
                && incident.from <= done
                && incident.to.is_none_or(|over| sent <= over)
        };
        lock(&self.incidents).iter().any(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_to_a_server_that_is_down_are_cut_off_and_no_others() {
        let timeline = Timeline::default();
        timeline.begin();
        let [first, second] = [Duration::from_millis(40), Duration::from_millis(80)];
        timeline.at(first).await;
        timeline.incident("server 1 is killed", Some(1), timeline.at(second)).await;
        let [incident] = timeline.incidents().try_into().unwrap();
        let over = incident.to.unwrap();
        assert!(first <= incident.from && incident.from < over && second <= over, "{incident:?}");

        let ms = Duration::from_millis(1);
        assert!(timeline.cut_off(1, incident.from - ms, incident.from + ms), "under way when it was killed");
        assert!(timeline.cut_off(1, over - ms, over + ms), "sent when nobody was there");
        assert!(!timeline.cut_off(0, incident.from, over), "another server");
        assert!(!timeline.cut_off(1, Duration::ZERO, incident.from - ms), "ended before");
        assert!(!timeline.cut_off(1, over + ms, over + 2 * ms), "sent afterwards");
    }
}
