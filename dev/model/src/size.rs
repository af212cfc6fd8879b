//! The bounds of the worlds that are explored, and the rules that are broken on purpose.

/// The bounds of a world. Within them, every interleaving is explored.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Jobs inserted at any time, each in its own transaction.
    pub jobs: u8,
    /// Workers of the only queue.
    pub workers: u8,
    /// Faults of all kinds together: a dispatch is lost, duplicated or slow; a request of a lane is late or
    /// lost, or its answer is; a lane dies; a call is rate limited.
    pub faults: u8,
    /// Transactions that are rolled back.
    pub aborts: u8,
    /// Transactions that do without the queue's lock.
    pub give_ups: u8,
    /// Transactions open at once; with 1, each is completed at once.
    pub open: usize,
    /// Whether the tick runs.
    pub has_tick: bool,
}

impl Size {
    /// Two faults, anywhere in the lives of two jobs.
    pub const FAULTS: Size = Size {
        jobs: 2,
        workers: 1,
        faults: 2,
        aborts: 0,
        give_ups: 0,
        open: 1,
        has_tick: true,
    };

    /// The same with two workers.
    pub const TWO_WORKERS: Size = Size {
        workers: 2,
        ..Size::FAULTS
    };

    /// Three jobs, so that a report can choose the next one.
    pub const THREE_JOBS: Size = Size {
        jobs: 3,
        faults: 1,
        ..Size::FAULTS
    };

    /// Four faults in the life of one job, with overlapping transactions.
    pub const ONE_JOB: Size = Size {
        jobs: 1,
        faults: 4,
        open: 2,
        ..Size::FAULTS
    };

    /// One fault, one rollback and one lock given up, with overlapping transactions.
    pub const OVERLAPS: Size = Size {
        faults: 1,
        aborts: 1,
        give_ups: 1,
        open: 2,
        ..Size::FAULTS
    };

    /// The same with two workers and no rollback.
    pub const OVERLAPS_OF_TWO_WORKERS: Size = Size {
        workers: 2,
        aborts: 0,
        give_ups: 0,
        ..Size::OVERLAPS
    };

    /// No fault and no tick, but three transactions overlap.
    pub const WAKE_UPS: Size = Size {
        jobs: 3,
        workers: 2,
        faults: 0,
        aborts: 0,
        give_ups: 0,
        open: 3,
        has_tick: false,
    };

    /// The same with one worker, and a transaction that does without the lock.
    pub const WAKE_UPS_GIVEN_UP: Size = Size {
        give_ups: 1,
        workers: 1,
        ..Size::WAKE_UPS
    };

    /// The same with one rollback.
    pub const WAKE_UPS_ROLLED_BACK: Size = Size {
        aborts: 1,
        workers: 1,
        ..Size::WAKE_UPS
    };
}

/// Attempts of a job, the first one included (`queue.max_attempts`).
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// Dispatches of a job without an acknowledgement (`setting.max_dispatches`).
pub(crate) const MAX_DISPATCHES: u8 = 2;

/// One part taken out of the protocol, to show that a rule depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A report whose current job is gone still settles the job.
    NoFence,
    /// A lane calls the target without acknowledging its current job first.
    NoAcknowledgement,
    /// An acknowledgement is accepted from any lane.
    AcknowledgementTakenTwice,
    /// No lease ever ends.
    NoLease,
    /// A lease may end during the call that it is for.
    LeaseShorterThanCall,
    /// The queue's lock is ignored.
    NoLock,
    /// A repeated report gets another next job.
    RepetitionGetsAnotherJob,
    /// A repeated report does not get the next job that was handed out with it.
    RepetitionForgetsNext,
    /// A repeated report gets its next job with what is left of the lease.
    RepetitionKeepsLease,
    /// A report hands out a call that was already sent, without acknowledging it.
    SentCallIsNotAcknowledged,
    /// A transaction that does without the lock leaves no note for the tick.
    GivesUpSilently,
    /// The outcome of a call whose job could not be settled is not noted.
    OutcomeIsNotNoted,
    /// Sending a job again spends an attempt.
    SendingSpendsAttempt,
    /// Nothing is broken, but the rule is stricter: a wake-up also counts as lost if its transaction was
    /// rolled back after it had locked a worker that another one wanted. The tick makes up for that.
    RollbackCounts,
}
