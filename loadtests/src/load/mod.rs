//! Honest load: goose's users send the requests of a schedule that was made up front.
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
//! [`drive`] runs one load and gives a [`Load`], which accounts for every ticket and says in words when the numbers are the
//! generator's fault rather than the server's ([`Saturation`]).

pub mod arrivals;
mod cancel;
mod cpu;
mod drive;
mod measure;
mod pacer;
mod plan;
mod saturation;

pub use cancel::Cancel;
pub use cpu::Cpu;
pub use drive::{LoadError, drive};
pub use measure::{Class, End, Fate, Latencies, Load};
pub use plan::{Answer, Judge, Mode, Outcome, Plan, Request, Ticket, judge_status, status_reason};
pub use saturation::Saturation;
