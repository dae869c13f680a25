//! A benchmark whose work is known to the iteration: what `self-test` measures the gate with.
//!
//! `SELF_TEST_EXTRA_PERCENT` repeats so much more of the same work, so that a slowdown of 5 % is one of 5 % by
//! construction, in the very same machine code.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

/// One hundredth of the work: multiplications that wait for one another, and loads and stores within the first-level
/// cache.
fn hundredth(state: &mut [u64; 64], mut seed: u64) -> u64 {
    for index in 0..128 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cell = &mut state[(seed >> 58) as usize];
        *cell = cell.rotate_left(index & 31) ^ seed;
        seed ^= *cell;
    }
    seed
}

fn work(hundredths: u64) -> u64 {
    let mut state = [1; 64];
    (0..hundredths).fold(7, |seed, _| hundredth(&mut state, black_box(seed)))
}

fn known_work(criterion: &mut Criterion) {
    let extra = std::env::var("SELF_TEST_EXTRA_PERCENT").map_or(0, |percent| {
        percent.parse().unwrap_or_else(|_| panic!("SELF_TEST_EXTRA_PERCENT is {percent}, not a number"))
    });
    assert_eq!(work(100), work(100), "the work gives the same result each time");
    criterion.bench_function("known-work", |bencher| bencher.iter(|| work(black_box(100 + extra))));
}

criterion_group!(benches, known_work);
criterion_main!(benches);
