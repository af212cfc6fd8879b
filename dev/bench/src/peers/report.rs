//! The results as a Markdown table, with what a reader must know of the compared queues.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use super::latency::{Arrivals, LOAD as LATENCY_LOAD, Latency, PAUSE_MS};
use super::peer::{Load, Peer};
use super::throughput::Throughput;
use super::usage::Usage;
use super::{LOADS, Measurement, Run};
use crate::numbers::{Spread, median, percentile};

/// Prints a measurement while the benchmark runs.
pub(super) fn print_throughput(taken: &Measurement<Load, Throughput>) {
    println!(
        "  {}, {}: {:.1} jobs/s, {} calls in flight at most; Postgres {}; {}",
        name(taken.load),
        taken.peer.name(),
        taken.result.jobs_per_second,
        taken.result.most_in_flight,
        usage([taken.result.usage]),
        taken.noise
    );
}

/// Prints a measurement while the benchmark runs.
pub(super) fn print_latency(taken: &Measurement<Arrivals, Latency>) {
    println!(
        "  {:?}, {}: {} ms, {} calls in flight at most; Postgres {}; {}",
        taken.load,
        taken.peer.name(),
        percentiles(taken.result.times.clone()),
        taken.result.most_in_flight,
        usage([taken.result.usage]),
        taken.noise
    );
}

/// The contents of `dev/bench/results/peers.md`.
pub(super) fn markdown(run: &Run) -> String {
    let mut table = Table::new();
    let mut header = vec!["measured"];
    header.extend(Peer::ALL.map(Peer::name));
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    let mut add = |name: String, cell: &dyn Fn(Peer) -> String| {
        let mut row = vec![name];
        row.extend(Peer::ALL.map(cell));
        table.add_row(row);
    };
    let half_load = arrivals(Arrivals::HalfLoad, run.half_load);
    for load in LOADS {
        add(format!("{}, jobs/s", name(load)), &|peer| {
            let rates = results(&run.throughput, peer, load).map(|one| one.jobs_per_second);
            format!("{:.1}", Spread::of(rates.collect()))
        });
    }
    for load in Arrivals::BOTH {
        let when = arrivals(load, run.half_load);
        add(
            format!("start latency, {when}, p50 / p95 / p99 ms"),
            &|peer| {
                let all = results(&run.latency, peer, load);
                percentiles(all.flat_map(|one| one.times.iter().copied()).collect())
            },
        );
    }
    for load in LOADS {
        let what = format!("Postgres per job without its insert, {}", name(load));
        add(what, &|peer| {
            usage(results(&run.throughput, peer, load).map(|one| one.usage))
        });
    }
    add(
        format!("Postgres per job with its insert, {half_load}"),
        &|peer| usage(results(&run.latency, peer, Arrivals::HalfLoad).map(|one| one.usage)),
    );
    let head = [&*run.date, &*run.machine, &*run.versions.join(", ")].join("; ");
    format!("{head}.\n\n{table}\n\n{NOTES}\n{}", excesses(run))
}

/// The results of a queue under a load.
fn results<L: PartialEq, R>(
    all: &[Measurement<L, R>],
    peer: Peer,
    load: L,
) -> impl Iterator<Item = &R> {
    let these = all
        .iter()
        .filter(move |one| one.peer == peer && one.load == load);
    these.map(|one| &one.result)
}

/// How the queues were set up.
const NOTES: &str = "\
- All call the same target through the same gateway, with the same number of calls in flight. The numbers of throughput \
are medians of all rounds with their range; the latencies of all rounds are taken together.
- Nothing limits the processor time of a process, as on a machine of one's own. On the platform, an isolate has 2 s: with \
the default of `SUPAQUEUE_JOBS_PER_RUN`, a run of Supaqueue's function makes about 2,000 calls a second at most, and what makes the \
calls of the others runs elsewhere.
- graphile-worker has as many `concurrentJobs` as calls. When batched, it has a `localQueue` for one more, and a \
`completeJobBatchDelay` of 0: it fetches and completes jobs together. It deletes completed jobs.
- pg-boss has LISTEN/NOTIFY, `burstWhenBatchFull`, and five workers with a `batchSize` of 2 for 10 calls or ten with 5 for 50, the \
best of several settings. It stores no result.
- Both run in Deno and connect to Postgres directly. A longer way through the gateway makes their calls slower, but not their \
statements.
- The pattern of pgmq, pg_cron and pg_net is the one that Supabase documents for automatic embeddings. pgmq is in no package \
registry, so its statements work on a plain table. Every second, pg_cron reads the messages, unless some are in process, and \
deals them to as many requests as there are calls; a function calls the target for each message of a request and deletes it.
- What emulated extensions do outside of SQL is not in the numbers of Postgres.";

/// A line for each queue that had more calls in flight than it was asked to.
fn excesses(run: &Run) -> String {
    let throughput = run.throughput.iter();
    let latency = run.latency.iter();
    let all = throughput
        .map(|one| (one.peer, one.load.places, one.result.most_in_flight))
        .chain(latency.map(|one| (one.peer, LATENCY_LOAD.places, one.result.most_in_flight)));
    let mut lines: Vec<String> = all
        .filter(|(_, places, most)| most > places)
        .map(|(peer, places, most)| {
            format!(
                "- {} had {most} calls in flight instead of {places}.\n",
                peer.name()
            )
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn name(load: Load) -> String {
    format!("{} calls × {} ms", load.places, load.call_ms)
}

fn arrivals(load: Arrivals, half_load: f64) -> String {
    match load {
        Arrivals::Idle => format!(
            "a job every {} to {} s",
            PAUSE_MS.start / 1000,
            PAUSE_MS.end / 1000
        ),
        Arrivals::HalfLoad => format!("{half_load:.0} jobs/s of {:.0}", half_load * 2.0),
    }
}

/// The percentiles of latencies.
fn percentiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile(&times, percent));
    format!("{p50:.0} / {p95:.0} / {p99:.0}")
}

/// The medians of what Postgres used.
fn usage(all: impl IntoIterator<Item = Usage>) -> String {
    let (mut cpu, mut wal): (Vec<f64>, Vec<f64>) = all
        .into_iter()
        .map(|one| (one.cpu_ms, one.wal_bytes))
        .unzip();
    format!("{:.2} ms, {:.0} bytes", median(&mut cpu), median(&mut wal))
}
