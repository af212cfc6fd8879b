//! The protocol of Supaqueue as a state machine, explored exhaustively.
//!
//! The database, pg_net, the supaqueue function and its target form one [`State`]; an [`Action`] is the
//! smallest thing that one of them does, or that goes wrong. Within the bounds of a [`Size`], every order of
//! actions is tried, and every state that is reached must satisfy the rules of [`properties`]. The tests
//! also take parts out of the protocol, one at a time ([`Broken`]), and expect a certain rule to break.
//!
//! | module | mirrors |
//! |---|---|
//! | `database` | the tables `worker`, `job`, `ready_job`, `held_job`, `current_job` and `unfinished` |
//! | `transaction` | Postgres: read committed, row locks, and the queue's lock, `supaqueue.lock_queues` |
//! | `start` | `supaqueue.admit_jobs`, `next_jobs`, `start_jobs`, `hand_out_next_job` |
//! | `settle` | `supaqueue.settle_job`, `recover`, `settle_again` |
//! | `wake_up` | `supaqueue.wake_up`, `dispatch`, `free_worker`, `report`, `tick` |
//! | `end_current_job` | `supaqueue.acknowledge`, `report`, and what a lane does with their answers |
//! | `net` | pg_net |
//! | `lane` | `supaqueue_core::lane`, and the calls of the target |
//! | `lease` | when leases can end |
//!
//! # Time
//!
//! There is no clock. A lease that can end may end now or later, and a retry may be due now or later, so
//! every speed is covered, with one assumption: **a lease does not end during a call that was made on an
//! answer with which the lease started**. It holds because a lease is the call's timeout plus a grace (30 s),
//! a call is aborted at its timeout, and an answer is awaited for at most 12 s (`TIMEOUT_MS` in core's
//! `database`). It also assumes that a call whose lane died ends within the same time.
//! [`Broken::LeaseShorterThanCall`] shows what breaks without the assumption, and
//! [`Broken::RepetitionKeepsLease`] why a repeated answer starts the lease anew.
//!
//! # What is left out
//!
//! Priorities, `run_at` set by users, pauses, changes to the number of workers, cancelled and deleted jobs,
//! several queues, errors in requests, and `supaqueue.queue_front`. The race tests in
//! `tests/race` force these on the real engine.

mod action;
mod database;
mod end_current_job;
mod lane;
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
pub use lane::LaneId;
pub use protocol::Protocol;
pub use settle::Outcome;
pub use size::{Broken, Size};
pub use state::State;
