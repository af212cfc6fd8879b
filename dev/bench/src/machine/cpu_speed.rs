//! The current speed of the CPUs.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::numbers::median;

/// The median time of a reference computation on all CPUs at once, in milliseconds.
///
/// It grows when the host shares its CPUs with other machines, which no other statistic shows. The
/// computation consists of independent chains, so that it needs all execution units of a core: a single
/// chain would run just as fast beside another hyperthread.
pub(crate) fn reference_ms() -> f64 {
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
