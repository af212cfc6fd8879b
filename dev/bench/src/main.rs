//! Benchmarks of Supaqueue on a local stack: the cost of a job in Postgres (`engine`), the speed of the
//! whole system (`speed`), and whether anything grows under a long, steady load (`load`).

mod chart;
mod engine;
mod load;
mod machine;
mod numbers;
mod project;
mod results;
mod speed;
mod table;

use std::num::NonZeroU32;
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: bench [speed] [quick]         measure efficiency, maximum throughput and latency
       bench load [MINUTES|quick]    check that nothing grows under a steady load (default: an hour)
       bench engine [quick]          measure the cost of a job in Postgres
`quick` is a short run that only shows that the benchmark works. A full run of `speed`, and a run of `load`
of an hour or more, replace the results in dev/bench/results.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match words.as_slice() {
        ["engine"] => engine::measure(engine::FULL).await,
        ["engine", "quick"] => engine::measure(engine::QUICK).await,
        ["load"] => load::measure(load::FULL).await,
        ["load", "quick"] => load::measure(load::QUICK).await,
        ["load", minutes] => match minutes.parse::<NonZeroU32>() {
            Ok(minutes) => load::measure(load::Scale::minutes(minutes.get())).await,
            Err(_) => return usage(),
        },
        [] | ["speed"] => speed::measure(speed::FULL).await,
        ["quick"] | ["speed", "quick"] => speed::measure(speed::QUICK).await,
        _ => return usage(),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
