//! Random graphs with random failures, with several concurrent runs, compared with a model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use supaqueue_tests::protocol::acknowledge_all;
use supaqueue_tests::{Db, TICK_IN_TRANSACTION, get, let_functions_pause, try_get};

use crate::database::{AddOnDb, report_of};

/// A model of a pipeline: job dependencies in one screen of code.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<String, Job>,
}

struct Job {
    sources: Vec<(String, OnFailure)>,
    /// Whether its next call succeeds.
    succeeds: bool,
    /// Whether it was called since it was inserted or last retried.
    has_run: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum OnFailure {
    Fail,
    Wait,
    Continue,
}

impl OnFailure {
    fn random(random: &mut Rng) -> Self {
        *random
            .choice(&[Self::Fail, Self::Fail, Self::Wait, Self::Continue])
            .unwrap()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Wait => "wait",
            Self::Continue => "continue",
        }
    }
}

impl Model {
    /// The status of a job once nothing more can run.
    fn status(&self, name: &str, known: &mut BTreeMap<String, &'static str>) -> &'static str {
        if let Some(status) = known.get(name) {
            return status;
        }
        let job = &self.jobs[name];
        let outcome = if job.succeeds { "successful" } else { "failed" };
        let status = if job.has_run {
            outcome
        } else {
            let sources: Vec<_> = job
                .sources
                .iter()
                .map(|(source, on_failure)| (self.status(source, known), *on_failure))
                .collect();
            let failed = |status: &str| status == "failed" || status == "cancelled";
            if sources
                .iter()
                .any(|(status, on_failure)| failed(status) && *on_failure == OnFailure::Fail)
            {
                "cancelled"
            } else if sources.iter().any(|(status, on_failure)| {
                *status == "waiting" || (failed(status) && *on_failure == OnFailure::Wait)
            }) {
                "waiting"
            } else {
                outcome
            }
        };
        known.insert(name.to_owned(), status);
        status
    }

    /// All names and statuses, as in [`crate::database::statuses`].
    fn statuses(&self) -> String {
        let mut known = BTreeMap::new();
        self.jobs
            .keys()
            .map(|name| format!("{name} {}", self.status(name, &mut known)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Records each job that starts although one of its sources does not allow it yet. A retry holds back
/// only the pending targets that it has reached.
const WATCH: &str = "
    create table public.too_early (job text);
    create function public.watch() returns trigger language plpgsql as $$
    begin
      insert into public.too_early
      select new.payload ->> 'name'
      from supaqueue.job_dependencies e
      join supaqueue.job s on s.id = e.source
      where e.target = new.id and s.status <> 'successful'
        and not (s.status in ('failed', 'cancelled') and e.on_failure = 'continue')
        and not exists (select from supaqueue.propagation p where p.source = s.id and p.new_status in ('pending', 'waiting'));
      return null;
    end $$;
    create trigger watch after update on supaqueue.job
    for each row when (new.status = 'in_progress') execute function public.watch()";

/// A transaction that inserts a pipeline's jobs and dependencies in random order.
fn insertion(model: &Model, random: &mut Rng) -> String {
    let mut statements = Vec::new();
    for (name, job) in &model.jobs {
        let queue = ["q", "r"][random.usize(..2)];
        statements.push(format!("select add_jobs('{queue}', '{name}')"));
        for (source, on_failure) in &job.sources {
            statements.push(format!(
                "select wait_for('{name}', '{source}', '{}')",
                on_failure.name()
            ));
        }
    }
    random.shuffle(&mut statements);
    format!("begin; {}; commit", statements.join("; "))
}

/// What was noted for the tick to do.
const LEFT_TO_THE_TICK: &str = "select string_agg(u.step || ': ' || coalesce(u.message, 'a lock'), ', ') from supaqueue.unfinished u";

/// Acknowledges and reports calls until nothing more can run. Now and then the running job inserts
/// another job between itself and a random one.
async fn run(db: &Db, model: &Mutex<Model>, mut random: Rng, number: usize) {
    let client = db.connect().await;
    let run = get(&client, "select gen_random_uuid()").await;
    let own_calls = format!(
        "select j.payload ->> 'name' from supaqueue.current_job c join supaqueue.job j on j.id = c.job where c.run = '{run}'"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut added = 0;
    loop {
        get(&client, &acknowledge_all(&run)).await;
        let calls = get(&client, &own_calls).await;
        let calls: Vec<_> = calls.lines().collect();
        if calls.is_empty() {
            if get(
                &client,
                "select count(*) from supaqueue.job where status in ('pending', 'in_progress')",
            )
            .await
                == "0"
            {
                if get(&client, "select count(*) from supaqueue.propagation").await == "0" {
                    return;
                }
                get(&client, "select supaqueue.tick_job_dependencies()").await;
            } else if !get(&client, LEFT_TO_THE_TICK).await.is_empty() {
                // On a busy machine, a lock is not had in time.
                supaqueue_tests::run(&client, TICK_IN_TRANSACTION).await;
            }
            assert!(
                Instant::now() < deadline,
                "jobs remain: {}; left to the tick: {}",
                crate::database::statuses(&client).await,
                get(&client, LEFT_TO_THE_TICK).await,
            );
            continue;
        }
        let name = calls[random.usize(..calls.len())];
        if random.usize(..4) == 0 && added < 5 {
            added += 1;
            add_a_job(
                &client,
                model,
                &mut random,
                name,
                &format!("n{number}{added}"),
            )
            .await;
        }
        let succeeds = {
            let mut model = model.lock().unwrap();
            let job = model.jobs.get_mut(name).unwrap();
            job.has_run = true;
            job.succeeds
        };
        get(&client, &report_of(&run, name, succeeds)).await;
    }
}

/// Inserts a job between `running` and a random one. This is refused if the random one has started.
async fn add_a_job(
    client: &tokio_postgres::Client,
    model: &Mutex<Model>,
    random: &mut Rng,
    running: &str,
    name: &str,
) {
    let names = get(client, "select payload ->> 'name' from supaqueue.job").await;
    let names: Vec<_> = names.lines().collect();
    let target = names[random.usize(..names.len())].to_owned();
    let (before, after) = (OnFailure::random(random), OnFailure::random(random));
    let sql = format!(
        "begin; select add_jobs('q', '{name}'); select wait_for('{name}', '{running}', '{}');
         select wait_for('{target}', '{name}', '{}'); commit",
        before.name(),
        after.name()
    );
    // The model comes first: another run may get the job immediately.
    let job = Job {
        sources: vec![(running.to_owned(), before)],
        succeeds: random.usize(..4) > 0,
        has_run: false,
    };
    model.lock().unwrap().jobs.insert(name.to_owned(), job);
    match try_get(client, &sql).await {
        Ok(_) => {
            let mut model = model.lock().unwrap();
            model
                .jobs
                .get_mut(&target)
                .unwrap()
                .sources
                .push((name.to_owned(), after));
        }
        Err(error) => {
            assert!(
                error.contains("has started or ended already")
                    || error.contains("wait for each other"),
                "{error}"
            );
            client.batch_execute("rollback").await.unwrap();
            model.lock().unwrap().jobs.remove(name);
        }
    }
}

async fn check(seed: u64) {
    let mut random = Rng::with_seed(seed);
    // Every other time, a statement propagates to two targets at most instead of a thousand.
    let db = AddOnDb::with(4, |sql| {
        if seed.is_multiple_of(2) {
            sql.replace("1000", "2")
        } else {
            sql
        }
    })
    .await;
    db.queue("r", 3).await;
    db.run(WATCH).await;
    if seed.is_multiple_of(3) {
        let_functions_pause(&db).await;
    }

    let mut model = Model::default();
    for i in 0..10 + random.usize(..30) {
        let mut sources = Vec::new();
        for source in 0..i {
            if random.usize(..i + 2) < 2 {
                sources.push((format!("j{source}"), OnFailure::random(&mut random)));
            }
        }
        model.jobs.insert(
            format!("j{i}"),
            Job {
                sources,
                succeeds: random.usize(..5) > 0,
                has_run: false,
            },
        );
    }
    db.run(&insertion(&model, &mut random)).await;

    let model = Arc::new(Mutex::new(model));
    let db = Arc::new(db);
    for round in 0..4 {
        let runs: Vec<_> = (0..4)
            .map(|number| {
                let (db, model) = (db.clone(), model.clone());
                let random = random.fork();
                tokio::spawn(async move {
                    run(&db, &model, random, round * 10 + number).await;
                })
            })
            .collect();
        for run in runs {
            run.await.unwrap();
        }
        let want = model.lock().unwrap().statuses();
        let got = get(
            db.client(),
            "select string_agg(j.name || ' ' || j.status, ', ' order by j.name)
             from (select payload ->> 'name' collate \"C\" as name, status from supaqueue.job) j",
        )
        .await;
        assert_eq!(got, want, "seed {seed}, round {round}");
        db.assert_counts_match_sources().await;
        assert_eq!(
            db.get("select string_agg(job, ' ') from public.too_early")
                .await,
            "null",
            "seed {seed}: started too early"
        );
        assert_eq!(
            db.get("select count(*) from supaqueue.job where attempts > 1")
                .await,
            "0",
            "seed {seed}: started twice"
        );

        let retried = {
            let mut model = model.lock().unwrap();
            let mut retried = Vec::new();
            for (name, job) in &mut model.jobs {
                if job.has_run && !job.succeeds && random.usize(..2) == 0 {
                    job.has_run = false;
                    job.succeeds = random.usize(..3) > 0;
                    retried.push(format!("id('{name}')"));
                }
            }
            retried
        };
        if !retried.is_empty() {
            db.run(&format!(
                "update supaqueue.job set status = 'pending' where id in ({})",
                retried.join(", ")
            ))
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_job_ends_as_in_the_model_and_none_starts_before_its_sources() {
    let seeds =
        std::env::var("SUPAQUEUE_SEEDS").map_or(12, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        check(seed).await;
    }
}
