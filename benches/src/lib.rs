//! The benchmark room of the exercises: criterion benchmarks of the variants' functions, and the regression gate on them.
//!
//! It is empty as yet. A benchmark of an exercise is `benches/<exercise>.rs` in this crate, in snake case; as soon as one
//! exercise has one, a test asks for all.
