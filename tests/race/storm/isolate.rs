//! Isolates that behave like those of the supaqueue function, including their failures: one run after
//! the other, each with a pulse and lanes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use supaqueue_tests::protocol::{Answer, Call, Pulse, end_lease, pulse};
use supaqueue_tests::{TICK, get, try_get};
use tokio_postgres::Client;

use super::ledger::{Ledger, Outcome};
use super::run::{Run, Waiting};
use crate::random::Random;

/// Number of lanes of an isolate.
pub(super) const LANES: usize = 3;

/// An isolate, whose tasks share its run.
#[derive(Debug)]
pub(super) struct Isolate {
    ledger: Arc<Ledger>,
    run: Mutex<Arc<Run>>,
}

impl Isolate {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        let none = Run::new(String::new(), ledger.clone());
        Self {
            ledger,
            run: Mutex::new(Arc::new(none)),
        }
    }

    fn run(&self) -> Arc<Run> {
        self.run.lock().unwrap().clone()
    }
}

/// The pulse of an isolate.
pub(super) struct Heart {
    pub(super) isolate: Arc<Isolate>,
    pub(super) client: Client,
    /// For what is sent twice at once.
    pub(super) other: Client,
    pub(super) random: Random,
    /// Calls that dispatches have brought, and some that may be gone meanwhile.
    pub(super) dispatched: Vec<String>,
}

impl Heart {
    /// Begins runs and pulses for them until the storm ends.
    pub(super) async fn beat(mut self) {
        while !self.isolate.ledger.has_ended() {
            if let Err(error) = self.live().await {
                self.isolate.ledger.violation(error);
            }
        }
    }

    /// The life of one run.
    async fn live(&mut self) -> Result<(), String> {
        let id = get(&self.client, "select gen_random_uuid()").await;
        let run = Arc::new(Run::new(id, self.isolate.ledger.clone()));
        *self.isolate.run.lock().unwrap() = run.clone();
        let mut number = 0;
        for _ in 0..self.random.below(60) {
            number += 1;
            self.pulse(&run, number).await?;
            if self.isolate.ledger.has_ended() {
                return Ok(());
            }
        }
        self.die(&run, number).await
    }

    async fn pulse(&mut self, run: &Run, number: u64) -> Result<(), String> {
        let request = self.request(run).await?;
        let pulse = statement(run, number, &request);
        let first = if self.random.percent(10) {
            self.pulse_twice(&pulse).await?
        } else {
            Pulse::parse(&try_get(&self.client, &pulse).await?)
        };
        if !first.is_accepted || !first.has_lease {
            return Err(format!("pulse {number} of a live run got {first:?}"));
        }
        if self.random.percent(5) && number > 1 {
            let late = try_get(&self.other, &statement(run, number - 1, &request)).await?;
            let late = Pulse::parse(&late);
            if !late.is_accepted || late.has_lease || late.has_started() {
                return Err(format!("a late pulse got {late:?}"));
            }
        }
        run.is_told(first);
        Ok(())
    }

    /// Sends a pulse on two connections; both must be told the same claims.
    async fn pulse_twice(&self, pulse: &str) -> Result<Pulse, String> {
        let (one, other) = tokio::join!(try_get(&self.client, pulse), try_get(&self.other, pulse));
        let (one, other) = (Pulse::parse(&one?), Pulse::parse(&other?));
        // One of them may have seen a cancellation that the other has not.
        let mut cancelled = [one.cancelled.clone(), other.cancelled.clone()].concat();
        cancelled.sort();
        cancelled.dedup();
        let started = |pulse: &Pulse| -> Vec<Call> {
            let mut started = pulse.started.clone();
            started.retain(|call| !cancelled.contains(&call.current_job));
            started.sort_by(|one, other| one.current_job.cmp(&other.current_job));
            started
        };
        if started(&one) != started(&other) {
            return Err(format!(
                "a repeated pulse got other calls: {one:?}, {other:?}"
            ));
        }
        Ok(Pulse {
            started: started(&one),
            cancelled,
            ..one
        })
    }

    async fn request(&mut self, run: &Run) -> Result<Value, String> {
        let sent = "select c.id from supaqueue.current_job c where c.state = 'sent'
                    order by random() limit 2";
        let sent = try_get(&self.client, sent).await?;
        self.dispatched.extend(sent.lines().map(str::to_owned));
        if self.random.percent(5) {
            // These dispatches never reach the function, and are found lost.
            let ids: Vec<_> = self
                .dispatched
                .drain(..)
                .map(|id| format!("'{id}'"))
                .collect();
            if !ids.is_empty() {
                let expire = format!(
                    "update supaqueue.current_job set lease_until = '-infinity'
                     where id = any (array(
                       select id from supaqueue.current_job
                       where state = 'sent' and id in ({}) for update skip locked))",
                    ids.join(", ")
                );
                try_get(&self.client, &expire).await?;
            }
        }
        let acknowledge = self.dispatched.clone();
        // Copies of the last ones come later.
        let kept = self.dispatched.len().saturating_sub(4);
        self.dispatched.drain(..kept);
        let queues = if self.random.percent(60) {
            "select coalesce(jsonb_agg(jsonb_build_object('id', q.id, 'idle_ms', 0)), '[]') from supaqueue.queue q where random() < 0.5"
        } else {
            "select '[]'"
        };
        let queues: Value =
            serde_json::from_str(&try_get(&self.client, queues).await?).expect("a list of queues");
        let within_ms = *self.random.pick(&[50_000, 100_000]);
        Ok(json!({
            "protocol": 2,
            "acknowledge": acknowledge,
            "calls": run.known(),
            "give_back": run.take_unknown(),
            "queues": queues,
            "limits": {
                "calls": LANES.saturating_sub(run.number_of_calls()),
                "within_ms": within_ms,
                "bytes": 1_000_000,
                "whole_ms": 135_000,
            },
        }))
    }

    /// The run dies: its calls are over, its lease ends, and what still arrives of it is refused once a
    /// tick has seen that.
    async fn die(&mut self, run: &Run, number: u64) -> Result<(), String> {
        run.stop().await;
        try_get(&self.client, &end_lease(&run.id)).await?;
        if self.random.percent(50) {
            return Ok(());
        }
        while {
            try_get(&self.client, TICK).await?;
            let is_over = format!(
                "select not exists (select from supaqueue.run where id = '{}' and not is_over)",
                run.id
            );
            try_get(&self.client, &is_over).await? != "t"
        } {}
        let late = json!({"queues": [], "calls": run.known()});
        let late = Pulse::parse(&try_get(&self.client, &statement(run, number + 1, &late)).await?);
        // A run that never had a pulse begins with a late one.
        if late.is_accepted && number > 0 {
            return Err("a late pulse of a dead run was accepted".into());
        }
        for id in run.known() {
            let report = format!(
                r#"select public.end_current_job('{id}', true, true, '{{"run": "{}"}}', '{{}}')"#,
                run.id
            );
            let answer = send(&self.client, &report).await?;
            if answer.state != "refused" {
                return Err(format!("a late report of a dead run got {answer:?}"));
            }
        }
        Ok(())
    }
}

fn statement(run: &Run, number: u64, request: &Value) -> String {
    pulse(&run.id, number, &format!("'{request}'"))
}

/// Runs calls of the isolate's runs, one after the other, until the storm ends.
pub(super) async fn lane(isolate: Arc<Isolate>, client: Client, mut random: Random) {
    while !isolate.ledger.has_ended() {
        let run = isolate.run();
        match run.take() {
            Some(call) => {
                if let Err(error) = follow(&isolate.ledger, &run, &client, &mut random, call).await
                {
                    isolate.ledger.violation(error);
                }
            }
            None => tokio::task::yield_now().await,
        }
    }
}

/// Runs a call and all that follow it.
async fn follow(
    ledger: &Ledger,
    run: &Run,
    client: &Client,
    random: &mut Random,
    call: Call,
) -> Result<(), String> {
    let (mut next, mut held) = (Some(call), None);
    // The call before, if the next one was held ready behind it.
    let mut before = None;
    while let Some(call) = next {
        let Some(lives) = run.begin().await else {
            match &before {
                // Nobody was told that the held call began, so its attempt is not counted.
                Some(Ended { call, entry, .. }) => ledger.is_lost(call, *entry),
                None => drop(ledger.ended(&call, Outcome::Lost)),
            }
            return Ok(());
        };
        ledger.starts(&call);
        if let Some(before) = before.take() {
            // The report travels beside the call.
            let began = Held::Began(&call);
            let answer = report(ledger, run, client, random, &before, began).await?;
            held = answer.held;
        }
        // The call itself: usually instant, so that many run, sometimes long, so that others overlap it.
        let call_ms = if random.percent(80) {
            0
        } else {
            random.below(20)
        };
        tokio::time::sleep(Duration::from_millis(call_ms)).await;
        ledger.ends(&call);
        let outcome = match random.below(100) {
            0..72 => Outcome::Successful,
            72..88 => Outcome::Failed,
            88..93 => Outcome::FailedForGood,
            _ => Outcome::GivenBack,
        };
        let entry = ledger.ended(&call, outcome);
        let ended = Ended {
            call,
            outcome,
            entry,
        };
        drop(lives);
        if run.has_stopped() && random.percent(50) {
            ledger.is_lost(&ended.call, entry);
            return Ok(());
        }
        next = match held.take() {
            Some(held) if !run.is_unwanted(&held) && random.percent(80) => {
                before = Some(ended);
                Some(held)
            }
            given_back => {
                let given_back = given_back.as_ref().map_or(Held::None, Held::GivenBack);
                let answer = report(ledger, run, client, random, &ended, given_back).await?;
                held = answer.held;
                answer.next
            }
        };
    }
    Ok(())
}

/// A call that has ended, its outcome, and the number of its entry in the ledger.
struct Ended {
    call: Call,
    outcome: Outcome,
    entry: usize,
}

/// What became of the call that was held ready behind another one.
#[derive(Clone, Copy)]
enum Held<'a> {
    None,
    Began(&'a Call),
    GivenBack(&'a Call),
}

/// Reports a call. Returns the answer, which has no calls if the run is over.
async fn report(
    ledger: &Ledger,
    run: &Run,
    client: &Client,
    random: &mut Random,
    Ended {
        call,
        outcome,
        entry,
    }: &Ended,
    held: Held<'_>,
) -> Result<Answer, String> {
    let next = random.pick(&[
        "null",
        r#"{"within_ms": 50000}"#,
        r#"{"within_ms": 100000, "bytes": 1000}"#,
        r#"{"prefetch": true}"#,
        r#"{"prefetch": true}"#,
    ]);
    let report = arguments(call, &run.id, *outcome, held, next);
    let ended = match held {
        Held::GivenBack(held) => vec![call, held],
        Held::None | Held::Began(_) => vec![call],
    };
    run.reports(&ended);
    let together = match random.percent(50) {
        true => send_together(run, client, report.clone()).await?,
        false => None,
    };
    let report = statement_of_report(&report);
    let answer = match together {
        Some(answer) => answer,
        None => send(client, &report).await?,
    };
    if answer.state == "refused" {
        if !run.has_stopped() {
            return Err(format!("a report of a live run was refused: {}", call.job));
        }
        ledger.is_lost(call, *entry);
        run.is_answered(&ended, &answer);
        return Ok(answer);
    }
    ledger.is_settled(call, *outcome);
    // No one else knows the next call yet, so the repeated report must return it again.
    if random.percent(10) {
        let again = send(client, &report).await?;
        if again != answer && !run.has_stopped() {
            return Err(format!(
                "a repeated report of job {} got another answer: {again:?}, after {answer:?}",
                call.job
            ));
        }
    }
    run.is_answered(&ended, &answer);
    Ok(answer)
}

/// The arguments of `end_current_job`.
fn arguments(call: &Call, run: &str, outcome: Outcome, held: Held<'_>, next: &str) -> Value {
    let (is_successful, mut report) = match outcome {
        Outcome::Successful => (true, json!({"result": 1})),
        Outcome::Failed | Outcome::Lost => (false, json!({"error": {"message": "no"}})),
        Outcome::FailedForGood => (false, json!({"is_final": true})),
        Outcome::GivenBack => (false, json!({"is_attempt": false, "retry_after_ms": 5})),
    };
    report["run"] = json!(run);
    match held {
        Held::None => {}
        Held::Began(held) => report["started"] = json!([held.current_job]),
        Held::GivenBack(held) => report["given_back"] = json!([held.current_job]),
    }
    let next: Value = serde_json::from_str(next).expect("JSON");
    json!({
        "cur_job_id": call.current_job, "_is_complete": true, "_is_successful": is_successful,
        "_report": report, "_next": next,
    })
}

fn statement_of_report(arguments: &Value) -> String {
    let part = |name: &str| format!("'{}'", arguments[name]);
    format!(
        "select public.end_current_job('{}', true, {}, {}, {})",
        arguments["cur_job_id"].as_str().expect("an id"),
        arguments["_is_successful"],
        part("_report"),
        part("_next")
    )
}

/// Sends a report together with those that other lanes of the run have ready. None: it has to be sent by itself.
async fn send_together(
    run: &Run,
    client: &Client,
    report: Value,
) -> Result<Option<Answer>, String> {
    let answer = run.add_waiting(report);
    {
        let _one_at_a_time = run.sends.lock().await;
        let (reports, waiting): (Vec<Value>, Vec<Waiting>) = run.take_waiting().into_iter().unzip();
        if !reports.is_empty() {
            let reports = json!(reports);
            let statement = format!("select public.end_current_jobs('{}', '{reports}')", run.id);
            let answers: Vec<Value> = match try_get(client, &statement).await {
                Ok(text) => serde_json::from_str(&text).expect("a list of answers"),
                // Somebody holds a lock for too long.
                Err(error) if error.starts_with("55P03") => Vec::new(),
                Err(error) => return Err(format!("{statement} failed: {error}")),
            };
            let mut answers = answers.into_iter();
            for waiting in waiting {
                let answer = answers.next().filter(|answer| !answer.is_null());
                drop(waiting.send(answer.map(|answer| Answer::parse(&answer.to_string()))));
            }
        }
    }
    // Whoever sent it may have failed, and says so.
    Ok(answer.await.ok().flatten())
}

/// Sends a report, and repeats it while it fails as retryable.
async fn send(client: &Client, sql: &str) -> Result<Answer, String> {
    loop {
        match try_get(client, sql).await {
            Ok(text) => return Ok(Answer::parse(&text)),
            Err(error) if error.starts_with("55P03") => tokio::task::yield_now().await,
            Err(error) => return Err(format!("{sql} failed: {error}")),
        }
    }
}
