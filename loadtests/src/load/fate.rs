//! How a ticket ended.

use std::time::Duration;

use super::request::Outcome;
use crate::results::Tickets;

/// How a ticket ended. Times are from the start of the load.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// Which request of the load it was: in an open one, the index of its ticket.
    pub number: usize,
    /// The intended start; in a closed loop, when it was sent.
    pub at: Duration,
    /// When a user was free for it.
    pub taken: Duration,
    /// When it was sent.
    pub sent: Option<Duration>,
    /// When the body had been read, or when it was given up.
    pub done: Duration,
    /// How.
    pub end: End,
}

/// What ended a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Answered, or the connection broke.
    Judged(Outcome),
    /// Not answered within the timeout.
    TimedOut,
    /// Cut off: in flight when it was sent, else never sent.
    Cut,
}

impl Fate {
    pub(super) fn class(&self) -> Class {
        match self.end {
            End::Judged(Outcome::Ok) => Class::Ok,
            End::Judged(Outcome::Expected(_)) => Class::Expected,
            End::Judged(Outcome::Failed(_)) => Class::Failed,
            End::TimedOut => Class::TimedOut,
            End::Cut if self.sent.is_some() => Class::InFlight,
            End::Cut => Class::NeverSent,
        }
    }

    pub(super) fn outcome(&self) -> &'static str {
        match self.end {
            End::Judged(Outcome::Expected(word) | Outcome::Failed(word)) => word,
            _ => self.class().word(),
        }
    }

    pub(super) fn response(&self) -> Duration {
        self.done.saturating_sub(self.at)
    }

    pub(super) fn service(&self) -> Option<Duration> {
        self.sent.map(|sent| self.done.saturating_sub(sent))
    }

    /// Sent minus the intended start; of what was never sent, the time until it was given up.
    pub(super) fn lag(&self) -> Duration {
        self.sent.unwrap_or(self.done).saturating_sub(self.at)
    }

    /// Whether its intended start had come, which is not so of all that a cancelled load cuts off.
    pub(super) fn was_due(&self) -> bool {
        self.sent.is_some() || self.at < self.done
    }

    /// How long it waited for a free user.
    pub(super) fn queued(&self) -> Duration {
        self.taken.saturating_sub(self.at)
    }

    /// How late a waiting user sent it.
    pub(super) fn timer_lag(&self) -> Option<Duration> {
        (self.taken <= self.at).then(|| self.sent.map(|sent| sent.saturating_sub(self.at))).flatten()
    }
}

/// What kind of end an outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What the request asked for.
    Ok,
    /// A refusal that the scenario expects.
    Expected,
    /// Answered otherwise, or the connection broke.
    Failed,
    /// No answer within the timeout; recorded at the timeout or more.
    TimedOut,
    /// Sent, and cut off at the end of the load; recorded at the time of the cut, so its true time is longer.
    InFlight,
    /// Not sent before the end of the load; its response and lag are recorded at that time, and it has no service time.
    NeverSent,
}

impl Class {
    /// Whether it counts against the server.
    pub fn failed(self) -> bool {
        !matches!(self, Class::Ok | Class::Expected)
    }

    /// The outcome's name, where the judge gave none.
    pub(super) fn word(self) -> &'static str {
        match self {
            Class::Ok => "ok",
            Class::Expected => "expected",
            Class::Failed => "failed",
            Class::TimedOut => "timeout",
            Class::InFlight => "in-flight",
            Class::NeverSent => "never-sent",
        }
    }

    pub(super) fn count(self, tickets: &mut Tickets) -> &mut u64 {
        match self {
            Class::Ok | Class::Expected => &mut tickets.ok,
            Class::Failed => &mut tickets.failed,
            Class::TimedOut => &mut tickets.timed_out,
            Class::InFlight => &mut tickets.in_flight,
            Class::NeverSent => &mut tickets.never_sent,
        }
    }
}
