//! pg_net and the network: a dispatch may be lost, late, reordered, duplicated, or
//! replayed long after everything is over.
//!
//! A request with many current jobs behaves like one request for each of them, and
//! is modelled as such.

use std::collections::BTreeMap;

use crate::database::CallId;

/// What happened to a dispatch after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Dispatch {
    /// How often it was delivered.
    pub(crate) delivered: u8,
    /// How many of the lanes that it started called the target.
    pub(crate) called: u8,
}

/// Dispatches that were sent and have not been lost.
pub(crate) type Net = BTreeMap<CallId, Dispatch>;
