//! The tests of this crate, in one program; they mirror its source.

mod cli;
mod load;
mod report;
mod rooms;
