//! The load, the audits, the verdicts and the reports of Stampede.
//!
//! How to read this crate: [`cli`] says what can be asked for and [`commands`] does it. [`compare`] is the main job: it
//! takes a server from the [`lab`], a schedule and an audit from one of the [`scenarios`], drives the [`load`], has the
//! rounds judged by [`verdict`], and what comes out ([`results`]) is drawn by [`report`]. While it goes on, Prometheus can
//! look at it through the [`exporter`]. The [`scaffold`] starts a new exercise.

pub mod api;
pub mod checks;
#[expect(missing_docs, reason = "the help texts are the documentation, and say it to users")]
pub mod cli;
pub mod commands;
pub mod compare;
pub mod exporter;
pub mod faults;
pub mod hint;
pub mod lab;
mod limits;
pub mod load;
pub mod payments;
pub mod providers;
pub mod reference;
pub mod report;
pub mod restaurants;
pub mod results;
pub mod sales;
pub mod scaffold;
pub mod scenarios;
pub mod shop;
pub mod verdict;
