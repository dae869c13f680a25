//! Open-loop load: goose's users send the requests of a schedule that was made up front.
//!
//! goose alone is a closed loop: a user who waits for a slow answer sends nothing meanwhile, so the slower the server, the
//! less it is asked. Here each request is a [`Ticket`] with an intended start. Users take the tickets in order, wait for
//! their times, send, read the whole answer, and have the scenario's [`Judge`] name the outcome. Three times are kept of
//! every ticket:
//!
//! - *response*, done minus the intended start: what someone who arrived then would have seen. Verdicts use this one.
//! - *service*, done minus sent: what the server took, and all that a closed loop would have seen.
//! - *lag*, sent minus the intended start. It is either *queued*, when all users were busy with earlier requests at the
//!   intended start, or *timer lag*, when a user was waiting and was woken late.
//!
//! Each request carries the id of a trace of its own, so that the slowest can be looked up in the server's logs.
//!
//! [`drive`] runs one load and gives a [`Load`], which accounts for every ticket and says in words when the numbers are the
//! generator's fault rather than the server's ([`Saturation`]). While it goes on, it can be seen through [`metrics`].

pub mod arrivals;
mod cancel;
mod cpu;
mod drive;
mod fate;
mod measure;
pub mod metrics;
mod pacer;
mod plan;
mod priority;
mod request;
mod saturation;
mod silence;
mod timeline;
mod trace;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use cancel::Cancel;
pub use cpu::Cpu;
pub use drive::{LoadError, drive};
pub use fate::{Class, End, Fate};
pub use measure::{Latencies, Load, SLOWEST};
pub use plan::{Mode, Plan, Shape, TIMEOUT};
pub use priority::go_ahead;
pub use request::{Answer, Judge, Outcome, Request, Ticket, judge_status, status_reason};
pub use saturation::Saturation;
pub use timeline::{Incident, Timeline};
pub use trace::trace_seed;

/// What is locked in this crate is consistent after each statement that changes it, so a panic elsewhere spoils nothing.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
