//! pg_net and the way to the supaqueue function: a dispatch may be lost, come late,
//! come in any order, come twice, and be replayed when all is long over.
//!
//! A request that carries many current jobs behaves like as many requests that
//! carry one each, so that is what is modelled.

use std::collections::BTreeMap;

use crate::database::CallId;

/// What became of a dispatch that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Dispatch {
    /// How often it was delivered.
    pub(crate) delivered: u8,
    /// How many of the lanes that it began called the target.
    pub(crate) called: u8,
}

/// Dispatches that were sent and not lost.
pub(crate) type Net = BTreeMap<CallId, Dispatch>;
