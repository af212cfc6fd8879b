//! pg_net and the network: a dispatch may be lost, late, reordered, duplicated, or
//! replayed long after everything is over.
//!
//! A request with many current jobs behaves like one request for each of them, and
//! is modelled as such.

use std::collections::BTreeMap;

use crate::database::CallId;

/// Dispatches that were sent and have not been lost, and whether each was delivered.
pub(crate) type Net = BTreeMap<CallId, bool>;
