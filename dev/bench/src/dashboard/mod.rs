//! Measures the dashboard of a project with 1,000,000 jobs: how long each page takes, and whether pages that are open
//! slow the queues.

mod browser;

use std::time::{Duration, Instant};

use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Options};
use tokio_postgres::{Client, NoTls};

use crate::Result;
use crate::engine::database::{Server, TestDatabase};
use crate::engine::lanes::Lanes;
use crate::machine;
use crate::numbers::Spread;
use crate::table::Table;
use browser::Browser;

/// How often each page is asked for.
const REQUESTS: usize = 20;
/// The goals for a page, in milliseconds.
const MEDIAN_MS: f64 = 100.0;
const WORST_MS: f64 = 300.0;

/// How often an open page asks for itself, as the dashboard's script does.
const REFRESH: Duration = Duration::from_secs(5);
/// The pages that are open while the queues are measured.
const OPEN: [&str; 3] = ["/", "/jobs?status=failed", "/failures"];
const CONNECTIONS: usize = 8;
/// How often, and for how long, the queues are measured with and without open pages. A run has as many refreshes as it
/// would have on average.
const RUNS: usize = 8;
const RUN: Duration = Duration::from_secs(10);

/// Runs the benchmark and prints the results.
pub(crate) async fn measure() -> Result<()> {
    let server = Server::start().await?;
    println!(
        "Postgres {}, fsync on, {}\n",
        server.version(),
        machine::description()?
    );
    let database = server.database().await?;
    fill(&database).await?;
    let browser = serve(&database).await?;
    let mut table = Table::new();
    pages(database.client(), &browser, &mut table).await?;
    queues(&database, &browser, &mut table).await?;
    println!("\n{table}");
    Ok(())
}

/// 1,000,000 jobs, and pipelines.
async fn fill(database: &TestDatabase) -> Result<()> {
    println!("inserting 1,000,000 jobs …");
    let client = database.client();
    let jobs = include_str!("../../sql/million.sql");
    client
        .batch_execute(&format!("begin;\n{jobs}\ncommit"))
        .await?;
    let add_on = supaqueue_files::add_on("job_dependencies").ok_or("there is no such add-on")?;
    client.batch_execute(&add_on.from_scratch()).await?;
    client
        .batch_execute(
            r#"select supaqueue.enqueue_pipeline(jsonb_build_array(
                 jsonb_build_object('name', 'split', 'queue', 'reports', 'payload', jsonb_build_object('document', number)),
                 '{"name": "one", "queue": "reports", "depends_on": ["split"]}'::jsonb,
                 '{"name": "two", "queue": "reports", "depends_on": ["split"]}'::jsonb,
                 '{"name": "combine", "queue": "reports", "depends_on": ["one", "two"]}'::jsonb))
               from generate_series(1, 1000) as number"#,
        )
        .await?;
    database.vacuum().await
}

/// Serves the dashboard in this process, and opens its link.
async fn serve(database: &TestDatabase) -> Result<Browser> {
    let options = Options {
        project: "benchmark".into(),
        access: Access::Token { port: 0 },
        is_read_only: false,
    };
    let connect = ConfigConnectImpl { tls: NoTls };
    let dashboard = Dashboard::bind(options, database.url().parse()?, connect).await?;
    let browser = Browser::open(dashboard.link().to_owned());
    tokio::spawn(dashboard.serve());
    browser.await
}

/// From the first byte of the request to the last one of the answer.
async fn pages(client: &Client, browser: &Browser, table: &mut Table) -> Result<()> {
    for (name, path) in screens(client).await? {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..REQUESTS {
            let start = Instant::now();
            size = browser.get(&path).await?.len();
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let worst = times.iter().copied().fold(0.0, f64::max);
        let median = Spread::of(times).median;
        table.add(
            name,
            format!("{median:.1} ms, {worst:.1} ms at worst, {} kB", size / 1000),
            format!("{median:.1}"),
            format!("≤ {MEDIAN_MS} ms, {WORST_MS} ms at worst"),
            median <= MEDIAN_MS && worst <= WORST_MS,
        );
    }
    Ok(())
}

/// What the pages are called, and their paths.
async fn screens(client: &Client) -> Result<Vec<(&'static str, String)>> {
    let value =
        async |query: &str| -> Result<String> { Ok(client.query_one(query, &[]).await?.get(0)) };
    let failed =
        value("select id::text from supaqueue.job where status = 'failed' limit 1").await?;
    let large =
        value("select id::text from supaqueue.job order by pg_column_size(payload) desc limit 1")
            .await?;
    let key = value("select key from supaqueue.job where key is not null limit 1").await?;
    let group = value(r#"select error_group from supaqueue.failure where error_group !~ '"' order by jobs desc limit 1"#).await?;
    let page = value(
        r#"with recursive page (number, answer) as (
             select 1, supaqueue.list_jobs('{"status": "failed"}')
             union all
             select number + 1, supaqueue.list_jobs('{"status": "failed"}', "cursor" => answer ->> 'next') from page where number < 100)
           select max(answer ->> 'next') filter (where number = 100) from page"#,
    )
    .await?;
    let with = |path: &str, name: &str, value: &str| -> Result<String> {
        let mut url: reqwest::Url = format!("http://localhost{path}").parse()?;
        url.query_pairs_mut().append_pair(name, value);
        Ok(format!(
            "{}?{}",
            url.path(),
            url.query().unwrap_or_default()
        ))
    };
    Ok(vec![
        ("Overview", "/".into()),
        ("Overview, 30 days", "/?period=30d".into()),
        ("Jobs", "/jobs".into()),
        ("Jobs, failed", "/jobs?status=failed".into()),
        ("Jobs, of a queue", "/jobs?queue=emails".into()),
        (
            "Jobs, of a queue, pending",
            "/jobs?queue=emails&status=pending".into(),
        ),
        (
            "Jobs, page 100 of the failed ones",
            with("/jobs?q=status:failed", "cursor", &page)?,
        ),
        ("Jobs, of a key", with("/jobs", "q", &format!("key:{key}"))?),
        (
            "Jobs, of a tenant",
            with("/jobs", "q", "tenant:customer-7")?,
        ),
        (
            "Jobs, of an error group",
            with("/jobs", "q", &format!("group:\"{group}\""))?,
        ),
        (
            "Jobs, by payload, none matches",
            with("/jobs", "q", r#"payload:{"customer":"nobody"}"#)?,
        ),
        ("Job", format!("/jobs/{failed}")),
        ("Job, the largest payload", format!("/jobs/{large}")),
        ("Failures", "/failures".into()),
        ("Queue", "/queues/emails".into()),
        ("Queue, 30 days", "/queues/emails?period=30d".into()),
        ("Queue, settings", "/queues/emails/settings".into()),
        ("Schedules", "/schedules".into()),
        ("Pipelines", "/pipelines".into()),
        ("Operations", "/operations".into()),
        (
            "Question: retry all failed jobs",
            with(
                "/actions/retry-jobs/confirm",
                "filter",
                r#"{"status": "failed"}"#,
            )?,
        ),
        (
            "Question: delete all jobs",
            with("/actions/delete-jobs/confirm", "filter", "{}")?,
        ),
    ])
}

/// How many jobs per second are settled. Inserts as many afterwards, so that each run finds the same number.
async fn rate(database: &TestDatabase, lanes: &mut Lanes) -> Result<f64> {
    let settled: u32 = lanes.run(CONNECTIONS, RUN).await?.iter().sum();
    database.enqueue(&["emails"], settled).await?;
    Ok(f64::from(settled) / RUN.as_secs_f64())
}

/// Compares how many jobs per second are settled with and without open pages.
async fn queues(database: &TestDatabase, browser: &Browser, table: &mut Table) -> Result<()> {
    database.enqueue(&["emails"], 200_000).await?;
    let mut lanes = Lanes::of(database).await?;
    database.vacuum().await?;
    lanes.rate(CONNECTIONS, RUN / 2).await?;
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    // In turn, as the tables grow meanwhile.
    for run in 0..RUNS * 2 {
        if matches!(run % 4, 0 | 3) {
            closed.push(rate(database, &mut lanes).await?);
        } else {
            let pages = OPEN.map(|path| tokio::spawn(browser.clone().keep_open(path)));
            open.push(rate(database, &mut lanes).await?);
            pages.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }
    let (closed, open) = (Spread::of(closed), Spread::of(open));
    let ratio = open.median / closed.median;
    table.add(
        format!("report and start, with {} open pages", OPEN.len()),
        format!("{open:.0} jobs/s; {closed:.0} without"),
        format!("{ratio:.2}"),
        "≥ 0.95 (no slower, given the noise)",
        ratio >= 0.95,
    );
    Ok(())
}
