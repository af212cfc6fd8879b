//! Turns of a measurement that says how fast a quiet machine is.

use crate::Result;
use crate::machine::computation_ms;
use crate::table::Spread;

/// How much longer than the fastest one a fixed computation may take on a quiet machine.
const QUIET: f64 = 1.15;
/// So many times as many turns are taken at most.
const PATIENCE: usize = 5;

/// Takes turns until so many met a quiet machine, for a while; returns those that met the quietest one.
///
/// A turn is chosen by how long a fixed computation takes right before and after it, never by what
/// came out of it.
pub(super) async fn quietest<T>(
    wanted: usize,
    mut turn: impl AsyncFnMut() -> Result<T>,
) -> Result<Vec<T>> {
    let mut turns = Vec::new();
    let mut before_ms = computation_ms();
    let mut fastest_ms = before_ms;
    while turns.len() < wanted * PATIENCE {
        let result = turn().await?;
        let after_ms = computation_ms();
        fastest_ms = fastest_ms.min(after_ms);
        turns.push((before_ms.max(after_ms), result));
        before_ms = after_ms;
        let quiet = turns.iter().filter(|(ms, _)| *ms <= fastest_ms * QUIET);
        if quiet.count() >= wanted {
            break;
        }
    }
    let taken = turns.len();
    turns.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    turns.truncate(wanted);
    println!(
        "{} of {taken} turns count: those with a fixed computation of {:.1} ms beside them",
        turns.len(),
        Spread::of(turns.iter().map(|(ms, _)| *ms).collect())
    );
    Ok(turns.into_iter().map(|(_, result)| result).collect())
}
