//! Changes that make a job ready to start, and changes that free a worker: any two of them may commit
//! at the same time.

use supaqueue_tests::protocol::{
    ANY, NONE, OTHER_RUN, RUN, acknowledge, claim, current_job_of, end_lease, giving_back,
    next_pulse, report, succeed,
};
use supaqueue_tests::{Db, TICK_IN_TRANSACTION};

/// What a transaction does to its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// A noun phrase, for messages.
    pub(crate) name: &'static str,
    prepare: fn(&str) -> String,
    act: fn(&str) -> String,
}

impl Change {
    /// Creates the state in which the change is made.
    pub(crate) async fn prepare(&self, db: &Db, queue: &str) {
        db.run(&(self.prepare)(queue)).await;
    }

    /// The statement that makes the change.
    pub(crate) fn act(&self, queue: &str) -> String {
        (self.act)(queue)
    }
}

/// Creates a queue with one worker, busy with a call of [`RUN`].
pub(crate) fn one_busy_worker(queue: &str) -> String {
    format!(
        "{}; {}",
        one_sent_call(queue),
        acknowledge(&current_job_of(queue), RUN)
    )
}

/// Creates a queue with one worker and a call that was sent but not acknowledged.
///
/// The last statement starts the job, since all statements share one transaction.
pub(crate) fn one_sent_call(queue: &str) -> String {
    format!(
        "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
         values ('{queue}', 'hello', 0, 0);
         select supaqueue.set_workers('{queue}', 1);
         select supaqueue.enqueue('{queue}');
         set constraints all immediate"
    )
}

fn cancel(queue: &str) -> String {
    format!(
        "update supaqueue.job set status = 'cancelled' where queue = supaqueue.queue_id('{queue}')"
    )
}

fn settle_by_hand(queue: &str) -> String {
    format!(
        "update supaqueue.current_job set is_complete = true, is_successful = true where id = {}",
        current_job_of(queue)
    )
}

/// Changes that make a job ready to start, to be prepared after the queue was created.
pub(crate) const NEW_JOBS: [Change; 4] = [
    Change {
        name: "an insert",
        prepare: |_| String::new(),
        act: |queue| format!("select supaqueue.enqueue('{queue}')"),
    },
    Change {
        name: "a bulk insert",
        prepare: |_| String::new(),
        act: |queue| {
            format!(
                "select count(*) from supaqueue.enqueue_many('{queue}', array['1', '2', '3']::jsonb[])"
            )
        },
    },
    Change {
        name: "the release of a waiting job",
        prepare: |queue| {
            format!(
                "insert into supaqueue.job (queue, status) values (supaqueue.queue_id('{queue}'), 'waiting')"
            )
        },
        act: |queue| {
            format!(
                "update supaqueue.job set status = 'pending'
                 where queue = supaqueue.queue_id('{queue}') and status = 'waiting'"
            )
        },
    },
    Change {
        name: "a job moved from another queue",
        prepare: |queue| {
            format!(
                "insert into supaqueue.queue (name, edge_function_name) values ('{queue} before', 'hello');
                 select supaqueue.enqueue('{queue} before')"
            )
        },
        act: |queue| {
            format!(
                "update supaqueue.job set queue = supaqueue.queue_id('{queue}')
                 where queue = supaqueue.queue_id('{queue} before')"
            )
        },
    },
];

/// A pulse that asks for the queue's jobs.
pub(crate) const CLAIM: Change = Change {
    name: "a claim",
    prepare: |queue| format!("select supaqueue.enqueue('{queue}') from generate_series(1, 2)"),
    act: |queue| claim(queue, OTHER_RUN),
};

/// Changes that free a worker.
pub(crate) const FREE_WORKERS: [Change; 12] = [
    Change {
        name: "a report that asks for the next job",
        prepare: one_busy_worker,
        act: |queue| succeed(&current_job_of(queue), RUN, ANY),
    },
    Change {
        name: "a report that asks for no next job",
        prepare: one_busy_worker,
        act: |queue| succeed(&current_job_of(queue), RUN, NONE),
    },
    Change {
        name: "a report that asks for a shorter next job",
        prepare: one_busy_worker,
        act: |queue| succeed(&current_job_of(queue), RUN, r#"'{"within_ms": 10}'"#),
    },
    Change {
        name: "a sent call settled by hand",
        prepare: one_sent_call,
        act: settle_by_hand,
    },
    Change {
        name: "a report of a call settled by hand",
        prepare: |queue| format!("{}; {}", one_busy_worker(queue), settle_by_hand(queue)),
        act: |queue| succeed(&current_job_of(queue), RUN, NONE),
    },
    Change {
        name: "a report of a cancelled job",
        prepare: |queue| format!("{}; {}", one_busy_worker(queue), cancel(queue)),
        act: |queue| succeed(&current_job_of(queue), RUN, NONE),
    },
    Change {
        name: "a report of a project that is misconfigured",
        prepare: one_busy_worker,
        act: |queue| {
            let problem = r#"{"is_attempt": false, "problem": "a key is missing"}"#;
            report(&current_job_of(queue), RUN, false, problem, NONE)
        },
    },
    Change {
        name: "a call given back",
        prepare: one_busy_worker,
        act: |queue| next_pulse(RUN, &giving_back(&current_job_of(queue))),
    },
    Change {
        name: "an acknowledgement of a cancelled job",
        prepare: |queue| format!("{}; {}", one_sent_call(queue), cancel(queue)),
        act: |queue| acknowledge(&current_job_of(queue), RUN),
    },
    Change {
        name: "a tick that finds a lost call",
        prepare: |queue| {
            format!(
                "{}; update supaqueue.queue set max_attempts = 1 where name = '{queue}'; {}",
                one_busy_worker(queue),
                end_lease(RUN)
            )
        },
        act: |_| TICK_IN_TRANSACTION.into(),
    },
    Change {
        name: "an added worker",
        prepare: one_busy_worker,
        act: |queue| format!("select supaqueue.set_workers('{queue}', 2)"),
    },
    Change {
        name: "an unpaused queue",
        prepare: |queue| {
            format!(
                "insert into supaqueue.queue (name, edge_function_name, is_paused) values ('{queue}', 'hello', true);
                 select supaqueue.set_workers('{queue}', 1)"
            )
        },
        act: |queue| format!("update supaqueue.queue set is_paused = false where name = '{queue}'"),
    },
];
