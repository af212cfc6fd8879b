//! The protocol of Supaqueue as a state machine, explored exhaustively.
//!
//! The database, pg_net, the supaqueue function and its target are one [`State`]; an [`Action`] is the
//! smallest thing that one of them does, or that goes wrong. Within the bounds of a [`Size`], every order of
//! them is tried, and in every state that is reached the rules of [`properties`] must hold. The tests also
//! take parts out of the protocol, one at a time ([`Broken`]), and expect the rule that falls.
//!
//! | module | mirrors |
//! |---|---|
//! | `database` | `sql/schema/11_worker.sql`, `12_job.sql`, `13_current_job.sql` |
//! | `transaction` | Postgres: read committed, row locks, and the queue's lock, `20_lock_queues.sql` |
//! | `start` | `21_due_jobs.sql`, `28_start_jobs.sql`, `40_hand_out_next_job.sql` |
//! | `settle` | `30_settle_job.sql`, `31_reclaim.sql` |
//! | `wake_up` | `32_dispatch.sql`, `33_wake_up.sql`, `41_free_worker.sql`, `43_report.sql`, `52_tick.sql` |
//! | `exchange` | `42_acknowledge.sql`, `43_report.sql`, and the lane's ear: `supaqueue_core::lane::telling` |
//! | `net` | pg_net |
//! | `function` | `supaqueue_core::lane`: the lane and the calls that it makes |
//! | `lease` | time, where the protocol depends on it |
//!
//! # Time
//!
//! There is no clock. A lease that can end may end now or later, and likewise a retry may be due now or
//! later; so every speed is covered, but for one assumption: **a lease does not end under a call that was
//! made on an answer with which the lease began**. It holds because a lease is the call's timeout and a
//! grace (30 s), the call is cut off at its timeout, and an answer is waited for no longer than 12 s
//! (`DATABASE_TIMEOUT_MS` of the function). It includes that a call whose lane died ends within the same
//! time. [`Broken::LeaseShorterThanCall`] shows what falls without it, and [`Broken::RepetitionKeepsLease`]
//! why a lease begins again with a repeated answer.
//!
//! # What is left out
//!
//! Priorities and `run_at` of users, pauses, changes to the number of workers, cancelled and deleted jobs,
//! several queues, errors in requests, the hint of `supaqueue.queue_front`. The race tests in `tests/race`
//! force these on the real engine.

mod action;
mod database;
mod exchange;
mod function;
mod lease;
mod net;
pub mod properties;
mod protocol;
mod settle;
mod size;
mod start;
mod state;
mod transaction;
mod wake_up;

pub use action::Action;
pub use database::CallId;
pub use function::LaneId;
pub use protocol::Protocol;
pub use settle::Outcome;
pub use size::{Broken, Size};
pub use state::State;
