//! How fast the processors are just now.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::table::median;

/// The median time of a fixed computation on all processors at once, in milliseconds. Where the host lends
/// the same processors to others it grows, and nothing else that the machine counts says so.
///
/// It is many computations side by side that wait for nothing, so that it needs all of a processor: one
/// whose steps wait for each other runs as fast on half of it, with somebody else on the other.
pub(crate) fn computation_ms() -> f64 {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let times = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                for _ in 0..25 {
                    let time = once_ms();
                    times
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(time);
                }
            });
        }
    });
    median(&mut times.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn once_ms() -> f64 {
    let start = Instant::now();
    let mut states = black_box([1_u64, 2, 3, 4, 5, 6, 7, 8]);
    for _ in 0..4_000_000 {
        for state in &mut states {
            // xorshift64
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
        }
    }
    black_box(states);
    start.elapsed().as_secs_f64() * 1000.0
}
