//! The benchmarks of the exercises live in `benches/`; here is what is made of their results.

pub mod ceiling;
pub mod failure;
pub mod gate;
pub mod growth;
pub mod pieces;
pub mod runner;
pub mod self_test;
pub mod support;
