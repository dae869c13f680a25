//! The tests of this crate, in one program; they mirror its source.

mod connections;
mod exercises;
mod routes;
mod sales;
mod server;
mod support;
mod telemetry;
