//! Races between real connections, with the interleaving forced. File = subject, test = claim.
//!
//! A check returns `Err` if the engine violates it, so that [`broken_engine`] can show, on engines
//! broken on purpose, that it can fail.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod adoption;
mod broken_engine;
mod by_hand;
mod deletion;
mod invariants;
mod key_storm;
mod keys;
mod lease;
mod locks;
mod many_queues;
mod operation;
mod prefetch;
mod pulse;
mod random;
mod report;
mod slow_commits;
mod storm;
mod transactions;
mod upgrade;
mod wake_up;
