//! Errors that come with their remedy.

use std::fmt::Display;

/// What went wrong and what the reader can do about it. Used as a cause or as the context of one; the command line
/// prints the hint below the error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    message: String,
    /// The remedy, in a sentence.
    pub hint: String,
}

impl Hinted {
    /// An error with its remedy.
    pub fn new(message: impl Display, hint: impl Display) -> Self {
        Hinted { message: message.to_string(), hint: hint.to_string() }
    }

    /// Data that a judgement needs and the server does not have.
    pub fn unseeded(missing: impl Display) -> Self {
        Hinted::new(missing, "give the server the seeded data anew, such as with `stampede seed`")
    }
}
