//! Measurements of Supaqueue on a local stack: what its engine costs in Postgres (`engine`), and how
//! fast the whole is (`speed`).

mod engine;
mod machine;
mod speed;
mod table;

use std::process::ExitCode;

/// Whatever goes wrong ends the measurement.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: bench [speed] [quick]   how fast the whole is: efficiency, ceiling, latency
       bench engine [quick]    what jobs cost in Postgres
quick: less of all, to see that it works";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match words.as_slice() {
        ["engine"] => engine::measure(engine::FULL).await,
        ["engine", "quick"] => engine::measure(engine::QUICK).await,
        [] | ["speed"] => speed::measure(speed::FULL).await,
        ["quick"] | ["speed", "quick"] => speed::measure(speed::QUICK).await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
