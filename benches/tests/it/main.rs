//! The tests of this crate's commands, in one program. For the gate, cargo, valgrind and the benchmarks are played by small scripts,
//! so that a comparison takes seconds and its times are what the test says.

mod ceiling;
mod fakes;
mod gate;
mod self_test;
