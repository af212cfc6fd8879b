//! What else the machine did while something was measured.

use std::fmt;

use procfs::{CpuTime, CurrentSI, KernelStats};
use serde::Serialize;

use super::processes::{ours_ms, ticks_ms};
use crate::Result;

/// Shares of all processors' time, between 0 and 1.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Disturbance {
    /// Used by programs that are not part of the measurement.
    pub(crate) others: f64,
    /// Taken by the host for other machines.
    pub(crate) stolen: f64,
    /// How long a fixed computation took right before or after, whichever was longer, in milliseconds;
    /// None where what is measured never rests. See `computation_ms`.
    pub(crate) computation_ms: Option<f64>,
}

impl Disturbance {
    pub(crate) fn sum(self) -> f64 {
        self.others + self.stolen
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "others {:.0} %, stolen {:.0} %",
            self.others * 100.0,
            self.stolen * 100.0
        )?;
        match self.computation_ms {
            Some(ms) => write!(formatter, ", a fixed computation {ms:.2} ms"),
            None => Ok(()),
        }
    }
}

/// What was used until a moment, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    total: f64,
    busy: f64,
    stolen: f64,
    ours: f64,
}

impl Moment {
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
        let waits = idle + iowait.unwrap_or(0);
        let stolen = steal.unwrap_or(0);
        let busy = user + nice + system + irq.unwrap_or(0) + softirq.unwrap_or(0);
        Ok(Self {
            total: ticks_ms(busy + waits + stolen),
            busy: ticks_ms(busy),
            stolen: ticks_ms(stolen),
            ours: ours_ms(),
        })
    }

    /// What the machine did since.
    pub(crate) fn since(&self, before: &Self) -> Disturbance {
        let total = (self.total - before.total).max(1.0);
        let others = (self.busy - before.busy) - (self.ours - before.ours);
        Disturbance {
            others: others.max(0.0) / total,
            stolen: (self.stolen - before.stolen) / total,
            computation_ms: None,
        }
    }
}
