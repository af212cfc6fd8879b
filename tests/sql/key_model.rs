//! Random sequences of what can happen to jobs with keys, compared with a model.
//!
//! `SUPAQUEUE_KEY_SEED` repeats a run.

use fastrand::Rng;
use supaqueue_tests::{Db, TICK, break_function, seed};

const SEED: &str = "SUPAQUEUE_KEY_SEED";
const KEYS: [&str; 3] = ["a", "b", "c"];
const WAYS: [(&str, &str); 4] = [
    ("keep", "kept"),
    ("replace", "replaced"),
    ("postpone", "postponed"),
    ("merge", "merged"),
];
/// Jobs start when the test says so.
const LATER: &str = "2100-01-01Z";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Pending,
    Unfinished,
    Successful,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hold {
    Free,
    Holds,
    /// After a success, for an hour.
    ForAWhile,
    /// The hour is over, and nobody has noticed yet.
    Over,
}

#[derive(Debug)]
struct Job {
    id: String,
    key: &'static str,
    items: Vec<u32>,
    status: &'static str,
    attempts: u32,
    hold: Hold,
}

impl Job {
    fn has_ended(&self) -> bool {
        ["successful", "failed", "cancelled"].contains(&self.status)
    }
}

/// The jobs of a queue, in the order of their insertion.
struct Model {
    held: Held,
    jobs: Vec<Job>,
}

impl Model {
    /// The job that holds a key. A hold that is over ends when it is in the way.
    fn holder(&mut self, key: &str) -> Option<usize> {
        let holder = self
            .jobs
            .iter()
            .position(|job| job.key == key && job.hold != Hold::Free)?;
        if self.jobs[holder].hold == Hold::Over {
            self.jobs[holder].hold = Hold::Free;
            return None;
        }
        Some(holder)
    }

    /// Enqueues an item; returns the job, unless it is to be inserted, and the outcome.
    fn enqueue(
        &mut self,
        key: &'static str,
        item: u32,
        way: usize,
    ) -> (Option<usize>, &'static str) {
        let Some(holder) = self.holder(key) else {
            return (None, "inserted");
        };
        let job = &mut self.jobs[holder];
        let is_unstarted = job.status == "pending" && job.attempts == 0;
        match WAYS[way] {
            ("keep", _) => return (Some(holder), "kept"),
            _ if !is_unstarted => return (Some(holder), "kept"),
            ("merge", _) => job.items.push(item),
            _ => job.items = vec![item],
        }
        (Some(holder), WAYS[way].1)
    }

    fn start(&mut self, job: usize) {
        let job = &mut self.jobs[job];
        job.status = "in_progress";
        job.attempts += 1;
        if self.held == Held::Pending {
            job.hold = Hold::Free;
        }
    }

    fn succeed(&mut self, job: usize) {
        let job = &mut self.jobs[job];
        job.status = "successful";
        job.hold = match (self.held, job.hold) {
            (Held::Successful, Hold::Holds) => Hold::ForAWhile,
            _ => Hold::Free,
        };
    }

    /// Two attempts are all.
    fn fail(&mut self, job: usize) {
        if self.jobs[job].attempts < 2 {
            self.go_back(job);
        } else {
            self.end(job, "failed");
        }
    }

    fn go_back(&mut self, job: usize) {
        if self.held == Held::Pending && self.holder(self.jobs[job].key).is_some() {
            self.end(job, "cancelled");
        } else {
            self.jobs[job].status = "pending";
        }
    }

    fn end(&mut self, job: usize, status: &'static str) {
        self.jobs[job].status = status;
        self.jobs[job].hold = Hold::Free;
    }

    fn retry(&mut self, job: usize) {
        if self.jobs[job].hold == Hold::Free && self.holder(self.jobs[job].key).is_some() {
            return;
        }
        let job = &mut self.jobs[job];
        job.status = "pending";
        job.attempts = 0;
        job.hold = Hold::Holds;
    }

    /// The number of a random job for which a condition holds.
    fn choose(&self, random: &mut Rng, condition: fn(&Job) -> bool) -> Option<usize> {
        let numbers: Vec<_> = (0..self.jobs.len())
            .filter(|number| condition(&self.jobs[*number]))
            .collect();
        random.choice(&numbers).copied()
    }

    fn describe(&self) -> String {
        let line = |job: &Job| {
            let items: Vec<_> = job.items.iter().map(u32::to_string).collect();
            format!(
                "{}|{}|{}|{}|[{}]|{:?}",
                job.id,
                job.key,
                job.status,
                job.attempts,
                items.join(", "),
                job.hold
            )
        };
        self.jobs.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

const JOBS: &str = "
    select id, key, status, attempts, payload, case
        when key_held_until = 'infinity' then 'Holds'
        when key_held_until > clock_timestamp() then 'ForAWhile'
        when key_held_until is not null then 'Over'
        else 'Free'
      end
    from supaqueue.job order by position";

/// Does something at random in the database and in the model; returns what.
async fn step(db: &Db, model: &mut Model, random: &mut Rng, item: u32) -> String {
    let set = |model: &Model, job: usize, what: &str| {
        format!(
            "update supaqueue.job set {what} where id = '{}'",
            model.jobs[job].id
        )
    };
    let report = |model: &Model, job: usize, is_successful: bool, report: &str| {
        format!(
            "select public.end_current_job(c.id, true, {is_successful}, '{{\"retry_after_ms\": 3600000}}' || '{report}'::jsonb)
             from supaqueue.current_job c where c.job = '{}'",
            model.jobs[job].id
        )
    };
    let is_pending = |job: &Job| job.status == "pending";
    let is_in_progress = |job: &Job| job.status == "in_progress";
    let statement = match random.u32(..20) {
        0..8 => {
            let (key, way) = (KEYS[random.usize(..KEYS.len())], random.usize(..WAYS.len()));
            let sql = format!(
                "select job, outcome from supaqueue.enqueue_outcome('q', '[{item}]', key => '{key}', on_conflict => '{}', run_at => '{LATER}')",
                WAYS[way].0
            );
            let got = db.get(&sql).await;
            let (id, outcome) = got.split_once('|').unwrap();
            let (job, want) = model.enqueue(key, item, way);
            assert_eq!(outcome, want, "{sql}\n{}", model.describe());
            match job {
                Some(job) => assert_eq!(id, model.jobs[job].id, "{sql}"),
                None => model.jobs.push(Job {
                    id: id.into(),
                    key,
                    items: vec![item],
                    status: "pending",
                    attempts: 0,
                    hold: Hold::Holds,
                }),
            }
            return sql;
        }
        8..11 => model.choose(random, is_pending).map(|job| {
            model.start(job);
            set(model, job, "run_at = now()")
        }),
        11..13 => model.choose(random, is_in_progress).map(|job| {
            model.succeed(job);
            report(model, job, true, "{}")
        }),
        13 | 14 => model.choose(random, is_in_progress).map(|job| {
            model.fail(job);
            report(model, job, false, "{}")
        }),
        15 => model.choose(random, is_in_progress).map(|job| {
            model.jobs[job].attempts -= 1;
            model.go_back(job);
            report(model, job, false, "{\"is_attempt\": false}")
        }),
        16 => model.choose(random, is_pending).map(|job| {
            model.end(job, "cancelled");
            set(model, job, "status = 'cancelled'")
        }),
        17 => model.choose(random, Job::has_ended).map(|job| {
            model.retry(job);
            set(
                model,
                job,
                &format!("status = 'pending', run_at = '{LATER}'"),
            )
        }),
        18 if random.bool() => {
            for job in &mut model.jobs {
                if job.hold == Hold::ForAWhile {
                    job.hold = Hold::Over;
                }
            }
            Some("update supaqueue.job set key_held_until = now() - interval '1 ms' where key_held_until < 'infinity'".into())
        }
        18 => {
            for job in &mut model.jobs {
                if job.hold == Hold::Over {
                    job.hold = Hold::Free;
                }
            }
            Some(TICK.into())
        }
        _ => model
            .choose(random, |job| job.status != "in_progress")
            .map(|job| {
                let id = model.jobs.remove(job).id;
                format!("delete from supaqueue.job where id = '{id}'")
            }),
    };
    let statement = statement.unwrap_or_else(|| "select 1".into());
    db.run(&statement).await;
    statement
}

/// A function of the engine, and what to replace in it.
type Breakage = (&'static str, &'static str, &'static str);

async fn compare((held, settings): (Held, &str), seed: u64, breakage: Option<Breakage>) {
    let mut random = Rng::with_seed(seed);
    let db = Db::new().await;
    if let Some((function, from, to)) = breakage {
        break_function(db.client(), function, from, to).await;
    }
    db.queue("q", 50).await;
    db.run(&format!(
        "update supaqueue.queue set max_attempts = 2, {settings}"
    ))
    .await;
    db.run("update supaqueue.setting set dispatch_lease_ms = 3600000")
        .await;
    let mut model = Model {
        held,
        jobs: Vec::new(),
    };
    let mut done = Vec::new();
    for item in 0..250 {
        let before = model.describe();
        done.push(step(&db, &mut model, &mut random, item).await);
        assert_eq!(
            db.get(JOBS).await,
            model.describe(),
            "{SEED}={seed}, {held:?}: after {}\nfrom\n{before}",
            done.last().unwrap()
        );
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.problem").await,
        "0",
        "{SEED}={seed}, {held:?}"
    );
}

const RULES: [(Held, &str); 3] = [
    (Held::Pending, "key_held = 'pending'"),
    (Held::Unfinished, "key_held = 'unfinished'"),
    (
        Held::Successful,
        "key_held = 'successful', key_held_for = '1 hour'",
    ),
];

#[tokio::test]
async fn keys_behave_as_in_the_model() {
    let first = seed(SEED);
    for rule in RULES {
        for seed in first..first + 3 {
            compare(rule, seed, None).await;
        }
    }
}

#[tokio::test]
async fn the_model_finds_an_engine_that_was_broken_on_purpose() {
    for (rule, breakage) in [
        (0, ("give_way", "holder.until > clock_timestamp()", "false")),
        (
            0,
            (
                "before_write_job_tg_fn",
                "elsif new.key_held = 'pending' then",
                "elsif false then",
            ),
        ),
        (1, ("is_unstarted", "and j.attempts = 0", "")),
        (1, ("take_key_again", "'infinity'", "null")),
        (2, ("hold_key", "known.until <= clock_timestamp()", "false")),
        (
            2,
            ("release_keys", "supaqueue.release_key(_job)::integer", "0"),
        ),
    ] {
        let looks = async move {
            for seed in 0..20 {
                compare(RULES[rule], seed, Some(breakage)).await;
            }
        };
        let found = tokio::spawn(looks).await;
        assert!(found.is_err(), "the model does not find {breakage:?}");
    }
}
