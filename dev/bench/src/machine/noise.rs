//! CPU use by others during a measurement.

use std::fmt;

use procfs::{CpuTime, CurrentSI, KernelStats};
use serde::Serialize;

use super::processes::{ticks_ms, tree_ms};
use crate::Result;

/// The load on the machine that is not part of a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Noise {
    /// CPU use by other processes, as a fraction of all CPU time.
    pub(crate) others: f64,
    /// CPU time that the host gave to other machines, as a fraction of all CPU time.
    pub(crate) steal: f64,
    /// The time of the reference computation before or after the measurement, whichever was longer.
    /// `None` if the measurement never pauses. See `reference_ms`.
    pub(crate) reference_ms: Option<f64>,
}

impl Noise {
    pub(crate) fn sum(self) -> f64 {
        self.others + self.steal
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "other processes {:.0} %, steal {:.0} %",
            self.others * 100.0,
            self.steal * 100.0
        )?;
        match self.reference_ms {
            Some(ms) => write!(formatter, ", reference computation {ms:.2} ms"),
            None => Ok(()),
        }
    }
}

/// The CPU time used up to a moment, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSnapshot {
    total: f64,
    busy: f64,
    steal: f64,
    own: f64,
}

impl CpuSnapshot {
    pub(crate) fn now() -> Result<Self> {
        let CpuTime {
            user,
            nice,
            system,
            idle,
            iowait,
            irq,
            softirq,
            steal,
            ..
        } = KernelStats::current()?.total;
        let idle = idle + iowait.unwrap_or(0);
        let steal = steal.unwrap_or(0);
        let busy = user + nice + system + irq.unwrap_or(0) + softirq.unwrap_or(0);
        Ok(Self {
            total: ticks_ms(busy + idle + steal),
            busy: ticks_ms(busy),
            steal: ticks_ms(steal),
            own: tree_ms(i32::try_from(std::process::id())?),
        })
    }

    /// The noise since an earlier snapshot.
    pub(crate) fn since(&self, before: &Self) -> Noise {
        let total = (self.total - before.total).max(1.0);
        let others = (self.busy - before.busy) - (self.own - before.own);
        Noise {
            others: others.max(0.0) / total,
            steal: (self.steal - before.steal) / total,
            reference_ms: None,
        }
    }
}
