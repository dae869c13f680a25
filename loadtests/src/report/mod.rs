//! What people look at after a run, drawn from [`Results`](crate::results::Results) alone.
//!
//! [`facts`] holds the questions that every report asks of the results, [`format`](mod@format) the way numbers are
//! written. On them stands one function for each reader: [`html()`] for people, [`markdown()`] for pull requests,
//! [`junit()`] for CI, and [`terminal()`] or [`brief()`] for the one who typed the command. [`files`] puts them on disk.

mod diff;
pub mod facts;
pub mod files;
pub mod format;
mod html;
mod junit;
mod markdown;
mod plot;
mod terminal;

pub use files::{Paths, foreign, point_latest, write, write_json};
pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use terminal::{brief, terminal};

/// Looks up the source text of a variant, by exercise id and variant name.
pub type Sources<'a> = &'a dyn Fn(&str, &str) -> Option<&'static str>;
