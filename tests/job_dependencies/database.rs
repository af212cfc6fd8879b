//! A database with the add-on, and jobs with names.

use std::ops::Deref;

use supaqueue_files::add_on;
use supaqueue_tests::protocol::{RUN, acknowledge_all};
use supaqueue_tests::{Db, get};
use tokio_postgres::Client;

/// The SQL that adds the add-on.
pub(crate) fn add() -> String {
    add_on("job_dependencies").unwrap().from_scratch()
}

/// A database with the add-on and SQL functions for jobs with names (see [`NAMES`]).
pub(crate) struct AddOnDb(Db);

impl Deref for AddOnDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.0
    }
}

/// A job's payload is `{"name": …}`; `id(name)` is its id, even before it exists.
const NAMES: &str = "
    create function public.id(name text) returns uuid language sql immutable as $$ select md5(name)::uuid $$;
    create function public.add_jobs(_queue text, variadic names text[]) returns void language sql as $$
      insert into supaqueue.job (id, queue, payload)
      select public.id(n), supaqueue.queue_id(_queue), jsonb_build_object('name', n) from unnest(names) n
    $$;
    create function public.wait_for(target text, source text, on_failure text default 'fail') returns void language sql as $$
      insert into supaqueue.job_dependencies (source, target, on_failure) values (public.id(source), public.id(target), on_failure)
    $$";

impl AddOnDb {
    /// A new database with the add-on and a queue `q` with `workers` workers.
    pub(crate) async fn new(workers: u32) -> Self {
        Self::with(workers, |sql| sql).await
    }

    /// [`AddOnDb::new`], with changes to the SQL of the add-on.
    pub(crate) async fn with(workers: u32, change: impl Fn(String) -> String) -> Self {
        let db = Db::new().await;
        db.run(&change(add())).await;
        db.run(NAMES).await;
        db.queue("q", workers).await;
        Self(db)
    }

    /// The jobs' names and statuses, as in `a pending, b waiting`.
    pub(crate) async fn statuses(&self) -> String {
        statuses(self.client()).await
    }

    /// Reports the call of a job; returns the next job's name. Panics if the job has no call.
    pub(crate) async fn report(&self, name: &str, is_successful: bool) -> String {
        self.acknowledge_all().await;
        self.get(&report(name, is_successful)).await
    }

    /// Acknowledges every call that was sent, for [`RUN`].
    pub(crate) async fn acknowledge_all(&self) {
        self.run(&acknowledge_all(RUN)).await;
    }

    /// Reports success of a job; returns the next job's name.
    pub(crate) async fn succeed(&self, name: &str) -> String {
        self.report(name, true).await
    }

    /// Reports a final failure of a job; returns the next job's name.
    pub(crate) async fn fail(&self, name: &str) -> String {
        self.report(name, false).await
    }

    /// Goes on with what is left of propagations until nothing is; returns the number of steps.
    pub(crate) async fn propagate(&self) -> usize {
        let mut steps = 1;
        while self.get("select supaqueue.tick_job_dependencies()").await == "t" {
            steps += 1;
        }
        steps
    }

    /// Panics unless every target's counts match its sources.
    pub(crate) async fn assert_counts_match_sources(&self) {
        let wrong = get(self.client(), WRONG_COUNTS).await;
        assert_eq!(wrong, "", "counts differ from those of the sources");
    }
}

/// The targets whose counts are not the sums over their sources, and changes not yet counted.
const WRONG_COUNTS: &str = "
    select coalesce(j.payload ->> 'name', d.id::text), d.unfinished, want.unfinished, d.failed, want.failed
    from supaqueue.dependent_job d
    left join supaqueue.job j on j.id = d.id
    cross join lateral (
      select coalesce(sum(f.unfinished), 0) as unfinished, coalesce(sum(f.failed), 0) as failed
      from supaqueue.job_dependencies e
      left join supaqueue.job s on s.id = e.source
      join supaqueue.dependency_effect f on f.status = coalesce(s.status, 'cancelled') and f.on_failure = e.on_failure
      where e.target = d.id
    ) want
    where (d.unfinished, d.failed) <> (want.unfinished, want.failed)
    union all
    select 'not counted: ' || c::text, null, null, null, null from supaqueue.dependency_change c";

/// See [`AddOnDb::statuses`].
pub(crate) async fn statuses(client: &Client) -> String {
    get(
        client,
        "select string_agg((j.payload ->> 'name') || ' ' || j.status, ', ' order by j.payload ->> 'name') from supaqueue.job j",
    )
    .await
}

/// The statement with which [`RUN`] reports a job; returns the next job's name.
pub(crate) fn report(name: &str, is_successful: bool) -> String {
    report_of(RUN, name, is_successful)
}

/// The statement with which a run reports a job; returns the next job's name.
pub(crate) fn report_of(run: &str, name: &str, is_successful: bool) -> String {
    format!(
        r#"select coalesce(public.end_current_job(
             (select c.id from supaqueue.current_job c where c.job = public.id('{name}')), true, {is_successful},
             '{{"run": "{run}", "is_final": true, "result": {{"of": "{name}"}}, "error": {{"message": "no"}}}}', '{{}}'
           ) #>> '{{next,job,payload,name}}', '')"#
    )
}
