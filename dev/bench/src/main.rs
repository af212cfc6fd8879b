//! Measurements of Supaqueue on a local stack: what its engine costs in Postgres (`engine`), how fast
//! the whole is (`speed`), and whether anything grows under a load that lasts (`load`).

mod chart;
mod engine;
mod load;
mod machine;
mod project;
mod results;
mod speed;
mod table;

use std::num::NonZeroU32;
use std::process::ExitCode;

/// Whatever goes wrong ends the measurement.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: bench [speed] [quick]   how fast the whole is: efficiency, ceiling, latency
       bench load [MINUTES]    whether anything grows under a steady load; an hour unless said otherwise
       bench engine [quick]    what jobs cost in Postgres
quick (of load, too): less of all, to see that it works. Results are kept in dev/bench/results, and shown
in the README, of a full speed and of a load of an hour or more.";

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

/// What was asked for is not understood.
fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
