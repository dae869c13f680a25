//! How a command of this crate fails.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use loadtests::hint::Hinted;

const ERROR: u8 = 1;
const USAGE: u8 = 2;

/// A problem with what was asked for rather than with doing it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Usage(Hinted);

impl Usage {
    /// What is wrong with it, and what to write instead.
    pub fn new(message: impl Display, hint: impl Display) -> Self {
        Usage(Hinted::new(message, hint))
    }
}

/// Says on standard error what went wrong and what can be done about it, and tells the exit code.
pub fn complain(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error:#}");
    let usage = error.downcast_ref::<Usage>();
    let hint = usage.map(|Usage(hinted)| hinted).or_else(|| error.downcast_ref::<Hinted>());
    if let Some(hinted) = hint {
        let _ = write!(text, "\n\nhint: {}", hinted.hint);
    }
    // Not `eprintln!`, which panics where nobody reads any more.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(if usage.is_some() { USAGE } else { ERROR })
}
