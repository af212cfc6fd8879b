//! The protocol of Supaqueue as a state machine, explored exhaustively.
//!
//! The database, pg_net, the isolates of the supaqueue function and its target form one [`State`]; an
//! [`Action`] is the smallest thing that one of them does, or that goes wrong. Within the bounds of a
//! [`Size`], every order of actions is tried, and every state that is reached must satisfy the rules of
//! [`properties`]. The tests also take parts out of the protocol, one at a time ([`Broken`]), and expect a
//! certain rule to break.
//!
//! The function's side is not retold: each isolate has a [`supaqueue_core::run::Run`], which is told what
//! happens and whose orders are carried out. Only the database's side is:
//!
//! | module | mirrors |
//! |---|---|
//! | `database` | the tables `worker`, `job`, `ready_job`, `held_job`, `current_job`, `run` and `unfinished` |
//! | `transaction` | Postgres: read committed, row locks, and the queue's lock, `supaqueue.lock_queues` |
//! | `start` | `supaqueue.admit_jobs`, `next_jobs`, `start_jobs`, `hand_out_next_job`, `take_sent_calls` |
//! | `settle` | `supaqueue.settle_job`, `recover`, `settle_again` |
//! | `wake_up` | `supaqueue.wake_up`, `dispatch`, `free_worker`, `report`, `pulse`, `tick` |
//! | `requests` | `public.supaqueue_pulse` and `end_current_job`: refusals and repetitions |
//! | `message` | the JSON between the two sides |
//! | `net` | pg_net |
//! | `isolate` | `supaqueue_core::isolate`, the network, and the calls of the target |
//! | `lease` | when leases can end |
//!
//! # Time
//!
//! There is no clock. A lease that can end may end now or later, and a retry may be due now or later, so
//! every speed is covered, with one assumption: **the lease of a run ends only when the run's own deadline has
//! passed, or its isolate is dead, and the connections of its calls are closed**. It holds because the run
//! counts from when it *sent* the pulse that was answered, and the database from when that arrived, and the
//! run leaves a margin for clocks that drift, timers that are late and connections that close slowly (see
//! `supaqueue_core::run`, whose tests simulate time). [`Broken::LeaseShorterThanDeadline`],
//! [`Broken::NoDeadline`] and [`Broken::AbortsLate`] show what breaks without each part of that.
//!
//! A run is told nearly everything at the same moment, so that no time in it grows: a request is repeated at
//! once, and a run that waits is woken at the time for which it waits, after which the clock is set back. What
//! would go on forever is bounded instead: the pulses that only renew the lease, and the answers that
//! tell a run to ask again.
//!
//! # What is left out
//!
//! Priorities, `run_at` set by users, pauses, changes to the number of workers, deleted jobs and jobs that are
//! settled by hand (to a run they are cancelled), several queues, limits of size and time, and errors in
//! requests. The model's database hands out a call to be held ready whenever there is one, however long calls
//! take. The race tests in `tests/race` force these on the real engine.

mod action;
mod database;
mod isolate;
mod lease;
mod message;
mod net;
pub mod properties;
mod protocol;
mod requests;
mod settle;
pub mod situations;
mod size;
mod start;
mod state;
mod transaction;
mod wake_up;

pub use action::Action;
pub use database::{CallId, RunNumber};
pub use protocol::Protocol;
pub use settle::Outcome;
pub use size::{Broken, Size};
pub use state::State;
