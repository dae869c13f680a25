//! The reference backend of Stampede: a shop and a restaurant system with realistic bugs. Each comes with the fixes that
//! look right and are not, and with the fix that works.
//!
//! How to read this crate: [`exercises`] holds the lessons, one folder each, and the diff between two files of a
//! folder is the lesson. [`catalogue`] says what an exercise is. `routes` are ordinary handlers which call the
//! exercise, [`domain`] the correct types and queries that everything shares. [`app`] puts them together,
//! [`server`] runs them, [`scratch_postgres`] finds a database to run them on and [`seed`] fills it. [`source`] tells a program that was
//! built before an edit from one that knows it.

mod abandoned;
pub mod app;
mod body;
pub mod catalogue;
pub mod config;
pub mod domain;
pub mod error;
pub mod exercises;
mod listen;
pub mod providers;
pub mod readiness;
pub mod relay;
mod routes;
mod sale_worker;
pub mod seed;
pub mod server;
pub mod source;
pub mod state;
pub mod telemetry;

/// Begins the names of databases and roles, and of the variables `STAMPEDE_HOME`, `STAMPEDE_POSTGRES_BIN` and `STAMPEDE_NATS_BIN`.
pub const PROJECT: scratch_postgres::Project = scratch_postgres::Project::new("stampede");
