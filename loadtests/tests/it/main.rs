//! The tests of this crate, in one program; they mirror its source.

mod cli;
mod contracts;
mod exporter;
mod faults;
mod load;
mod metrics;
mod report;
mod rooms;
mod scaffold;
