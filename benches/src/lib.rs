//! The benchmarks of the exercises live in `benches/`; here is what is made of their results.

pub mod ceiling;
pub mod failure;
pub mod gate;
pub mod self_test;
