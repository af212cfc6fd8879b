//! How fast the processors are just now.

use std::hint::black_box;
use std::time::Instant;

use crate::table::median;

/// The median time of a fixed computation, in milliseconds. Where the host lends the same processor to
/// others it grows, and nothing else that the machine counts says so.
pub(crate) fn computation_ms() -> f64 {
    let mut times = Vec::new();
    for _ in 0..25 {
        let start = Instant::now();
        let mut state = black_box(1_u64);
        for _ in 0..1_000_000 {
            // xorshift64: each step waits for the one before it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        black_box(state);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    median(&mut times)
}
