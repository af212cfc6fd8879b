//! Random graphs with random failures, run by several lanes at once, against a model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use supaqueue_tests::{Db, get};

use crate::house::{House, report};
use crate::session::ask;

/// What the model knows of a pipeline: the whole of job dependencies in a screen.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<String, Job>,
}

struct Job {
    sources: Vec<(String, OnFailure)>,
    /// Whether its next call succeeds.
    succeeds: bool,
    /// Whether it was called, and not retried since.
    has_run: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum OnFailure {
    Fail,
    Wait,
    Continue,
}

impl OnFailure {
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

    /// All statuses, as the database gives them.
    fn statuses(&self) -> String {
        let mut known = BTreeMap::new();
        self.jobs
            .keys()
            .map(|name| format!("{name} {}", self.status(name, &mut known)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A small generator (xorshift), so that a seed is all it takes to see a failure again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn on_failure(&mut self) -> OnFailure {
        [
            OnFailure::Fail,
            OnFailure::Fail,
            OnFailure::Wait,
            OnFailure::Continue,
        ][self.below(4)]
    }
}

/// Notes each job that starts while a source of it is not settled in its favour.
const WATCH: &str = "
    create table public.too_early (job text);
    create function public.watch() returns trigger language plpgsql as $$
    begin
      insert into public.too_early
      select new.payload ->> 'name'
      from supaqueue.job_dependencies e
      join supaqueue.job s on s.id = e.source
      where e.target = new.id and s.status <> 'successful'
        and not (s.status in ('failed', 'cancelled') and e.on_failure = 'continue');
      return null;
    end $$;
    create trigger watch after update on supaqueue.job
    for each row when (new.status = 'in_progress') execute function public.watch()";

/// The statements that insert a pipeline, in random order, in one transaction.
fn insertion(model: &Model, random: &mut Random) -> String {
    let mut statements = Vec::new();
    for (name, job) in &model.jobs {
        let queue = ["q", "r"][random.below(2)];
        statements.push(format!("select add_jobs('{queue}', '{name}')"));
        for (source, on_failure) in &job.sources {
            statements.push(format!(
                "select wait_for('{name}', '{source}', '{}')",
                on_failure.name()
            ));
        }
    }
    for i in (1..statements.len()).rev() {
        statements.swap(i, random.below(i + 1));
    }
    format!("begin; {}; commit", statements.join("; "))
}

/// Reports calls until nothing more can run. Now and then the running job adds a new
/// job after itself and before one that waits.
async fn run_lane(db: &Db, model: &Mutex<Model>, mut random: Random, lane: usize) {
    let client = db.connect().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut added = 0;
    loop {
        let calls = get(&client, "select j.payload ->> 'name' from supaqueue.current_job c join supaqueue.job j on j.id = c.job").await;
        let calls: Vec<_> = calls.lines().collect();
        if calls.is_empty() {
            if get(
                &client,
                "select count(*) from supaqueue.job where status in ('pending', 'in_progress')",
            )
            .await
                == "0"
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "jobs remain: {}",
                crate::house::statuses(&client).await
            );
            continue;
        }
        let name = calls[random.below(calls.len())];
        if random.below(4) == 0 && added < 5 {
            added += 1;
            add_a_job(
                &client,
                model,
                &mut random,
                name,
                &format!("n{lane}{added}"),
            )
            .await;
        }
        let succeeds = {
            let mut model = model.lock().unwrap();
            let job = model.jobs.get_mut(name).unwrap();
            job.has_run = true;
            job.succeeds
        };
        match ask(&client, &report(name, succeeds)).await {
            Ok(_) => {}
            // Its call ended meanwhile, by another lane's report.
            Err(error) => assert!(error.contains("must not be null"), "{error}"),
        }
    }
}

/// Adds a job after `running` and before a random one. It may be refused: the other may have started.
async fn add_a_job(
    client: &tokio_postgres::Client,
    model: &Mutex<Model>,
    random: &mut Random,
    running: &str,
    name: &str,
) {
    let names = get(client, "select payload ->> 'name' from supaqueue.job").await;
    let names: Vec<_> = names.lines().collect();
    let target = names[random.below(names.len())].to_owned();
    let (before, after) = (random.on_failure(), random.on_failure());
    let sql = format!(
        "begin; select add_jobs('q', '{name}'); select wait_for('{name}', '{running}', '{}');
         select wait_for('{target}', '{name}', '{}'); commit",
        before.name(),
        after.name()
    );
    // First into the model: another lane may run it at once.
    let job = Job {
        sources: vec![(running.to_owned(), before)],
        succeeds: random.below(4) > 0,
        has_run: false,
    };
    model.lock().unwrap().jobs.insert(name.to_owned(), job);
    match ask(client, &sql).await {
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
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    for _ in 0..10 {
        random.below(2);
    }
    let house = House::new(4).await;
    house.queue("r", 3).await;
    house.run(WATCH).await;

    let mut model = Model::default();
    for i in 0..10 + random.below(30) {
        let mut sources = Vec::new();
        for source in 0..i {
            if random.below(i + 2) < 2 {
                sources.push((format!("j{source}"), random.on_failure()));
            }
        }
        model.jobs.insert(
            format!("j{i}"),
            Job {
                sources,
                succeeds: random.below(5) > 0,
                has_run: false,
            },
        );
    }
    house.run(&insertion(&model, &mut random)).await;

    let model = Arc::new(Mutex::new(model));
    let house = Arc::new(house);
    for round in 0..4 {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let (house, model) = (house.clone(), model.clone());
                let random = Random(seed * 100 + round * 10 + lane + 1);
                tokio::spawn(async move {
                    run_lane(
                        &house,
                        &model,
                        random,
                        usize::try_from(round * 10 + lane).unwrap(),
                    )
                    .await;
                })
            })
            .collect();
        for lane in lanes {
            lane.await.unwrap();
        }
        let want = model.lock().unwrap().statuses();
        let got = get(
            house.client(),
            "select string_agg(j.name || ' ' || j.status, ', ' order by j.name)
             from (select payload ->> 'name' collate \"C\" as name, status from supaqueue.job) j",
        )
        .await;
        assert_eq!(got, want, "seed {seed}, round {round}");
        house.counts_are_right().await;
        assert_eq!(
            house
                .get("select string_agg(job, ' ') from public.too_early")
                .await,
            "null",
            "seed {seed}: started too early"
        );
        assert_eq!(
            house
                .get("select count(*) from supaqueue.job where attempts > 1")
                .await,
            "0",
            "seed {seed}: started twice"
        );

        let retried = {
            let mut model = model.lock().unwrap();
            let mut retried = Vec::new();
            for (name, job) in &mut model.jobs {
                if job.has_run && !job.succeeds && random.below(2) == 0 {
                    job.has_run = false;
                    job.succeeds = random.below(3) > 0;
                    retried.push(format!("id('{name}')"));
                }
            }
            retried
        };
        if !retried.is_empty() {
            house
                .run(&format!(
                    "update supaqueue.job set status = 'pending' where id in ({})",
                    retried.join(", ")
                ))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_job_ends_as_the_model_says_and_none_starts_before_its_sources() {
    let seeds =
        std::env::var("SUPAQUEUE_SEEDS").map_or(12, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        check(seed).await;
    }
}
