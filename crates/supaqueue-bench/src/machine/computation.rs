//! How fast the processors are just now.

use std::hint::black_box;
use std::time::Instant;

use crate::table::median;

/// The median time of a fixed computation, in milliseconds. Where the host lends the same processor to
/// others it grows, and nothing else that the machine counts says so.
///
/// It is many computations side by side that wait for nothing, so that it needs all of the processor: one
/// whose steps wait for each other runs as fast on half of it, with somebody else on the other.
pub(crate) fn computation_ms() -> f64 {
    let mut times = Vec::new();
    for _ in 0..25 {
        let start = Instant::now();
        let mut states = black_box([1_u64, 2, 3, 4, 5, 6, 7, 8]);
        for _ in 0..200_000 {
            for state in &mut states {
                // xorshift64
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
            }
        }
        black_box(states);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    median(&mut times)
}
