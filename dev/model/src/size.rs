//! The bounds of the worlds that are explored, and the rules that are broken on purpose.

/// The bounds of a world. Within them, every interleaving is explored.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Jobs inserted at any time, each in its own transaction.
    pub jobs: u8,
    /// Workers of the only queue.
    pub workers: u8,
    /// Runs that live at the same time.
    pub runs: u8,
    /// Faults of all kinds together: a dispatch is lost, duplicated or slow; a request of a run is late or
    /// lost, or its answer is; a run dies, ends early, or reaches its deadline; a call is rate limited.
    pub faults: u8,
    /// Calls whose target fails.
    pub failures: u8,
    /// Whether answers take time, so that they may cross other requests; else each is heard at once.
    pub answers_travel: bool,
    /// Jobs that a user cancels.
    pub cancels: u8,
    /// Pulses that are sent because the lease is to be renewed.
    pub renewals: u8,
    /// Held calls that wait too long.
    pub delays: u8,
    /// Answers that tell a run to ask for work again.
    pub waits: u8,
    /// Transactions that are rolled back.
    pub aborts: u8,
    /// Transactions that do without the queue's lock.
    pub give_ups: u8,
    /// Transactions open at once; with 1, each is completed at once.
    pub open: usize,
    /// Whether reports hand out calls to be held ready.
    pub prefetches: bool,
    /// Whether the tick runs.
    pub has_tick: bool,
}

impl Size {
    /// Two faults, anywhere in the lives of two jobs.
    pub const FAULTS: Size = Size {
        jobs: 2,
        workers: 1,
        runs: 2,
        faults: 2,
        failures: 1,
        answers_travel: false,
        cancels: 0,
        renewals: 0,
        waits: 0,
        delays: 0,
        aborts: 0,
        give_ups: 0,
        open: 1,
        prefetches: false,
        has_tick: true,
    };

    /// The same with two workers, whose calls a run may join.
    pub const TWO_WORKERS: Size = Size {
        workers: 2,
        failures: 0,
        ..Size::FAULTS
    };

    /// One fault, and answers that cross other requests.
    pub const ANSWERS: Size = Size {
        faults: 1,
        answers_travel: true,
        ..Size::FAULTS
    };

    /// Three faults in the life of one job, with overlapping transactions.
    pub const ONE_JOB: Size = Size {
        jobs: 1,
        faults: 3,
        failures: 0,
        open: 2,
        ..Size::FAULTS
    };

    /// One fault, and runs that wait for work, with answers that cross other requests.
    pub const WAITS: Size = Size {
        workers: 2,
        runs: 1,
        faults: 1,
        failures: 0,
        waits: 2,
        answers_travel: true,
        ..Size::FAULTS
    };

    /// The same with one worker, while a job is cancelled and the lease is renewed.
    pub const CANCELLED_WAITS: Size = Size {
        workers: 1,
        cancels: 1,
        renewals: 1,
        ..Size::WAITS
    };

    /// One fault and a cancelled job, of which a pulse tells.
    pub const CANCELS: Size = Size {
        cancels: 1,
        renewals: 1,
        failures: 0,
        ..Size::ANSWERS
    };

    /// One fault, one rollback and one lock given up, with overlapping transactions.
    pub const OVERLAPS: Size = Size {
        faults: 1,
        aborts: 1,
        give_ups: 1,
        open: 2,
        ..Size::FAULTS
    };

    /// Overlapping transactions with two workers, where a job is cancelled and runs wait for work.
    pub const OVERLAPS_OF_TWO_WORKERS: Size = Size {
        workers: 2,
        faults: 0,
        cancels: 1,
        waits: 1,
        open: 2,
        ..Size::FAULTS
    };

    /// No fault and no tick, but three transactions overlap, and runs wait for work.
    pub const WAKE_UPS: Size = Size {
        jobs: 3,
        workers: 2,
        faults: 0,
        failures: 0,
        waits: 1,
        open: 3,
        has_tick: false,
        ..Size::FAULTS
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

    /// Two faults, while reports hand out calls to be held ready.
    pub const PREFETCH: Size = Size {
        jobs: 3,
        delays: 1,
        prefetches: true,
        ..Size::FAULTS
    };

    /// One fault with two workers.
    pub const PREFETCH_OF_TWO_WORKERS: Size = Size {
        workers: 2,
        faults: 1,
        failures: 0,
        ..Size::PREFETCH
    };

    /// One fault in one run, while a job is cancelled and the lease is renewed, with answers that cross
    /// other requests.
    pub const CANCELLED_PREFETCH: Size = Size {
        runs: 1,
        cancels: 1,
        renewals: 1,
        ..Size::PREFETCH_ANSWERS
    };

    /// One fault, and answers that cross other requests.
    pub const PREFETCH_ANSWERS: Size = Size {
        faults: 1,
        failures: 0,
        answers_travel: true,
        ..Size::PREFETCH
    };

    /// One fault and a cancelled job, with overlapping transactions.
    pub const PREFETCH_OVERLAPS: Size = Size {
        faults: 1,
        failures: 0,
        cancels: 1,
        open: 2,
        ..Size::PREFETCH
    };
}

/// Attempts of a job, the first one included (`queue.max_attempts`).
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// Dispatches of a job without an acknowledgement (`setting.max_dispatches`).
pub(crate) const MAX_DISPATCHES: u8 = 2;
/// How often a job is held ready in runs that are lost.
pub(crate) const MAX_UNSTARTED: u8 = 1;

/// One part taken out of the protocol, to show that a rule depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A report whose current job is gone still settles the job.
    NoFence,
    /// No lease ever ends.
    NoLease,
    /// The queue's lock is ignored.
    NoLock,
    /// A transaction that does without the lock leaves no note for the tick.
    GivesUpSilently,
    /// The outcome of a call whose job could not be settled is not noted.
    OutcomeIsNotNoted,
    /// Sending a job again spends an attempt.
    SendingSpendsAttempt,
    /// A report hands out a call that was already sent, without starting it.
    SentCallIsNotStarted,
    /// Nothing is broken, but the rule is stricter: a wake-up also counts as lost if its transaction was
    /// rolled back after it had locked a worker that another one wanted. The tick makes up for that.
    RollbackCounts,

    /// The tick takes back the calls of a run only when it finds that the run is over.
    TakesBackOnce,
    /// The lease of a run may end while the run lives.
    LeaseShorterThanDeadline,
    /// A run goes on after its deadline.
    NoDeadline,
    /// A call that was aborted goes on for longer than the lease.
    AbortsLate,
    /// To cancel a job ends its call in the database at once.
    CancellingEndsCall,
    /// An acknowledgement also takes what another run has started.
    AcknowledgementTakesStarted,
    /// An acknowledgement ends the call of a cancelled job, also when it was started.
    AcknowledgementEndsCancelled,
    /// A repeated report gets another next job.
    RepetitionGetsAnotherJob,
    /// A repeated report does not get the next job that was handed out with it.
    RepetitionForgetsNext,
    /// A repeated report is refused.
    RepetitionIsRefused,
    /// A repeated pulse is not told what it claimed.
    RepetitionForgetsClaims,
    /// A pulse claims even if a later one came first.
    LatePulseClaims,
    /// A pulse tells every call of its run that it does not name.
    PulseRetells,
    /// A pulse tells of all cancelled calls of its run, also of those that it does not name.
    PulseTellsUnnamed,
    /// A pulse takes back the calls of its run that it does not name.
    PulseTakesBackOmitted,
    /// A pulse claims for a worker that is not free.
    PulseClaimsBusyWorker,

    /// A report hands out a next job although the worker has another call.
    NextBesideHeld,
    /// To give a call back does not give its attempt back.
    GivingBackSpends,
    /// Of two transactions that end the last two calls of a worker, none waits for the other.
    OtherIsNotLocked,
    /// A job is held ready no matter how often its run was lost.
    HeldForever,
    /// A run does not notice that its target asks for a pause.
    PauseIsHidden,
}
