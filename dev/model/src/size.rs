//! How large a world is explored, and what is broken in it on purpose.

/// The bounds of a world. Within them, every interleaving is explored.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Jobs that are inserted, each by a transaction of its own, at any time.
    pub jobs: u8,
    /// Workers of the one queue.
    pub workers: u8,
    /// What may go wrong, all kinds together: a dispatch is lost, delivered again or slow; a request of a
    /// lane arrives late or never, or its answer does not come; a lane dies; a call is not let through.
    pub faults: u8,
    /// Transactions that may be rolled back before they commit.
    pub aborts: u8,
    /// Transactions that may be open at once; 1: each is alone, and over at once.
    pub open: usize,
    /// Whether the tick runs.
    pub has_tick: bool,
}

impl Size {
    /// Two things go wrong, anywhere in the lives of two jobs.
    pub const MISHAPS: Size = Size {
        jobs: 2,
        workers: 1,
        faults: 2,
        aborts: 0,
        open: 1,
        has_tick: true,
    };

    /// The same with two workers.
    pub const TWO_WORKERS: Size = Size {
        workers: 2,
        ..Size::MISHAPS
    };

    /// Three jobs, so that a report has a choice of the next one.
    pub const THREE_JOBS: Size = Size {
        jobs: 3,
        faults: 1,
        ..Size::MISHAPS
    };

    /// Four things go wrong in the life of one job, in transactions that overlap.
    pub const ONE_JOB: Size = Size {
        jobs: 1,
        faults: 4,
        open: 2,
        ..Size::MISHAPS
    };

    /// Something goes wrong while transactions overlap, and one of them is rolled back.
    pub const OVERLAPS: Size = Size {
        faults: 1,
        aborts: 1,
        open: 2,
        ..Size::MISHAPS
    };

    /// The same with two workers, and none is rolled back.
    pub const OVERLAPS_OF_TWO_WORKERS: Size = Size {
        workers: 2,
        aborts: 0,
        ..Size::OVERLAPS
    };

    /// Nothing goes wrong, but transactions overlap, three at once, and nothing is swept.
    pub const WAKE_UPS: Size = Size {
        jobs: 3,
        workers: 2,
        faults: 0,
        aborts: 0,
        open: 3,
        has_tick: false,
    };

    /// The same, and one of them is rolled back.
    pub const WAKE_UPS_ROLLED_BACK: Size = Size {
        aborts: 1,
        workers: 1,
        ..Size::WAKE_UPS
    };
}

/// Calls of a job, the first one included (`queue.max_attempts`).
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// Sendings of a current job that nobody acknowledges (`setting.max_dispatches`).
pub(crate) const MAX_DISPATCHES: u8 = 2;

/// One thing taken out of the protocol, to show that a property needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A report whose current job is gone settles the job all the same.
    NoFence,
    /// A lane calls the target without acknowledging its current job first.
    NoAcknowledgement,
    /// An acknowledgement is accepted from any lane, at any time.
    AcknowledgementTakenTwice,
    /// No lease ever ends.
    NoLease,
    /// A lease may end while a call is in flight that it was given for.
    LeaseShorterThanCall,
    /// Nobody takes the queue's lock.
    NoLock,
    /// A report that is repeated is handed another next job.
    RepetitionGetsAnotherJob,
    /// A report that is repeated is not told the next job that it was handed.
    RepetitionForgetsNext,
    /// A report that is repeated is handed its next job with what is left of the lease.
    RepetitionKeepsLease,
    /// A report hands out a call that was sent, and does not acknowledge it.
    SentCallIsNotAcknowledged,
    /// Sending a current job again spends an attempt.
    SendingSpendsAttempt,
    /// Nothing. But a wake-up counts as lost, too, that a transaction gave which is rolled back after it
    /// held a worker that another one wanted: the tick gives it again.
    RollbackCounts,
}
