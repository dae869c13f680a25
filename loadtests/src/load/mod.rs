//! Honest load.
