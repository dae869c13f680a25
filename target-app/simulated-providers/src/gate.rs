//! Holds requests at a chosen moment, so that somebody can do something at exactly this moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A request that nobody lets go on goes on by itself after this time.
const LONGEST: Duration = Duration::from_secs(60);

/// Where in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// It has arrived and has had no effect.
    BeforeEffect,
    /// It has had its effect and is not answered.
    AfterEffect,
}

/// How held requests go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// As if nothing had been.
    Continue,
    /// With 503. Before its effect a request then has none.
    Refuse,
}

/// The gate of one service. It is open until somebody closes it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: Mutex<Option<Closed>>,
    held: watch::Sender<usize>,
}

#[derive(Debug)]
struct Closed {
    at: Point,
    /// Requests that it still stops.
    left: usize,
    release: watch::Sender<Option<Release>>,
}

/// One more request is held, until this is dropped.
struct Held<'a>(&'a watch::Sender<usize>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Option<Closed>> {
        // Each change is one assignment.
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the next `requests` at this point. Those that are held already go on.
    pub fn close(&self, at: Point, requests: usize) {
        let before = self.lock().replace(Closed { at, left: requests, release: watch::Sender::new(None) });
        if let Some(before) = before {
            before.release.send_replace(Some(Release::Continue));
        }
    }

    /// Lets all go on that are held, and holds no more.
    pub fn open(&self, how: Release) {
        if let Some(closed) = self.lock().take() {
            closed.release.send_replace(Some(how));
        }
    }

    /// Waits until so many are held, or for this long; how many are.
    pub async fn held(&self, requests: usize, wait: Duration) -> usize {
        let mut held = self.held.subscribe();
        let _ = tokio::time::timeout(wait, held.wait_for(|held| *held >= requests)).await;
        *self.held.borrow()
    }

    /// Where every request passes.
    pub async fn pass(&self, at: Point) -> Release {
        let mut release = {
            let mut closed = self.lock();
            match &mut *closed {
                Some(closed) if closed.at == at && closed.left > 0 => {
                    closed.left -= 1;
                    closed.release.subscribe()
                }
                _ => return Release::Continue,
            }
        };
        self.held.send_modify(|held| *held += 1);
        let _held = Held(&self.held);
        let how = tokio::time::timeout(LONGEST, release.wait_for(Option::is_some)).await;
        match how {
            Ok(Ok(how)) => how.unwrap_or(Release::Continue),
            _ => Release::Continue,
        }
    }
}
