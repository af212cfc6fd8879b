//! Races between real connections, with the interleaving forced: folder = subject,
//! file = part of it, test = claim.
//!
//! A claim is a function that gives `Err` where the engine breaks it, so that
//! [`broken`] can show on deliberately broken engines that each of them can fail.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod adoption;
mod broken;
mod change;
mod claim;
mod deletion;
mod lane;
mod lease;
mod many_queues;
mod random;
mod report;
mod session;
mod storm;
mod stretched;
mod upgrade;
mod wake_up;
