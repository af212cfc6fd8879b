//! Benchmarks of Supaqueue on a local stack: the cost of a job in Postgres (`engine`), the speed of the
//! whole system (`speed`), whether anything grows under a long, steady load (`load`), and the pages of the
//! dashboard (`dashboard`).

mod chart;
mod dashboard;
mod engine;
mod load;
mod machine;
mod numbers;
mod peers;
mod project;
mod results;
mod speed;
mod table;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: bench [speed] [quick] [--hop-ms N]  measure efficiency, maximum throughput and latency
       bench peers [quick] [--hop-ms N]    compare with graphile-worker, pg-boss and pgmq
       bench load [MINUTES|quick]          check that nothing grows under a steady load (default: an hour)
       bench engine [quick]                measure the cost of a job in Postgres
       bench dashboard                     measure the dashboard's pages with 1,000,000 jobs
`quick` is a short run that only shows that the benchmark works. A full run of `speed` or `peers`, and a run
of `load` of an hour or more, replace the results in dev/bench/results. `--hop-ms` lets each request through
the gateway take so many milliseconds longer, as on a hosted project.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (words, hop) = match words.as_slice() {
        [words @ .., "--hop-ms", ms] => match ms.parse() {
            Ok(ms) => (words, Some(Duration::from_millis(ms))),
            Err(_) => return usage(),
        },
        words => (words, None),
    };
    let measured = match (words, hop) {
        (["engine"], None) => engine::measure(engine::FULL).await,
        (["engine", "quick"], None) => engine::measure(engine::QUICK).await,
        (["dashboard"], None) => dashboard::measure().await,
        (["load"], None) => load::measure(load::FULL).await,
        (["load", "quick"], None) => load::measure(load::QUICK).await,
        (["load", minutes], None) => match minutes.parse::<NonZeroU32>() {
            Ok(minutes) => load::measure(load::Scale::minutes(minutes.get())).await,
            Err(_) => return usage(),
        },
        (["peers"], hop) => peers::measure(peers::FULL, hop.unwrap_or_default()).await,
        (["peers", "quick"], hop) => peers::measure(peers::QUICK, hop.unwrap_or_default()).await,
        ([] | ["speed"], hop) => speed::measure(speed::FULL, hop.unwrap_or_default()).await,
        (["quick"] | ["speed", "quick"], hop) => {
            speed::measure(speed::QUICK, hop.unwrap_or_default()).await
        }
        _ => return usage(),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
