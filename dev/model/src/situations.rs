//! Situations that the exploration must meet: a rule proves nothing about what never happens.

use stateright::Property;

use crate::database::{CallId, CallState, CurrentJob};
use crate::isolate::{Isolate, Transit, Unanswered};
use crate::message::{Pulse, Reply, Report, Request};
use crate::protocol::Protocol;
use crate::state::State;
use crate::transaction::Step;

type Situation = (&'static str, fn(&Protocol, &State) -> bool);

const SITUATIONS: &[Situation] = &[
    ("all jobs are settled", |_, s| {
        let mut jobs = s.db.jobs.iter();
        jobs.all(|job| job.is_some_and(|job| job.status.is_settled()))
    }),
    ("all workers are busy", |m, s| {
        s.connections().count() == usize::from(m.size.workers)
    }),
    ("a report hands out the next job", |_, s| {
        hands_out(s, |s, next| !s.net.contains_key(&next))
    }),
    ("a report hands out a call that was already sent", |_, s| {
        hands_out(s, |s, next| s.net.contains_key(&next))
    }),
    ("a transaction waits for the lock", |_, s| {
        let waits = |step| matches!(step, Step::AsksFor(_));
        let mut open = s.db.open.iter();
        open.any(|tx| waits(tx.step) && !tx.can_have_lock(&s.db))
    }),
    ("a transaction leaves its work to the tick", |_, s| {
        s.db.notes > 0
    }),
    ("a job cannot be settled when its call ends", |_, s| {
        s.db.inserted().any(|job| job.unsettled.is_some())
    }),
    ("an attempt is lost", |_, s| {
        s.db.inserted().any(|job| job.lost > 0)
    }),
    ("a call is sent again", |_, s| {
        s.db.calls.values().any(|call| call.dispatches > 1)
    }),
    ("an attempt is given back", |_, s| {
        s.db.inserted().any(|job| job.given_back > 0)
    }),
    ("two runs live at once", |_, s| s.isolates.len() > 1),
    ("a dispatch joins a run that lives", |_, s| {
        let joins =
            |isolate: &Isolate| !isolate.brought.is_empty() && isolate.calls().next().is_some();
        s.isolates.iter().any(joins)
    }),
    ("a run acknowledges what it cannot have", |_, s| {
        pulses(s, |s, pulse, transit| {
            let is_sent = |call: &CurrentJob| call.state == CallState::Sent;
            let is_anothers = |id| !s.db.calls.get(id).is_some_and(is_sent);
            let stored = s.db.runs.get(&pulse.run).map_or(0, |row| row.number);
            *transit == Transit::Sent
                && stored < pulse.number
                && pulse.acknowledge.iter().any(is_anothers)
        })
    }),
    ("a repeated report gets the same next job", |_, s| {
        reports(s, |s, report, transit| {
            *transit == Transit::Sent && s.db.handed_out_by(report.id, report.run).0.is_some()
        })
    }),
    ("a report arrives late", |_, s| {
        s.late.iter().any(|late| matches!(late, Request::Report(_)))
    }),
    ("a pulse arrives late", |_, s| {
        s.late.iter().any(|late| matches!(late, Request::Pulse(_)))
    }),
    ("a run is refused because it is over", |_, s| {
        s.late.iter().any(|late| s.db.is_over_for(late))
    }),
    ("a call continues after its run died", |_, s| {
        !s.abandoned.is_empty()
    }),
    ("a pulse claims a job", |_, s| {
        pulses(s, |_, pulse, transit| match transit {
            Transit::Answered(Reply::Pulse(reply)) => {
                let mut started = reply.started.iter();
                started.any(|id| !pulse.acknowledge.contains(id))
            }
            _ => false,
        })
    }),
    ("a pulse overtakes a report", |_, s| {
        // The report came first, and its run hears of the pulse first.
        s.isolates.iter().any(|isolate| {
            let transits: Vec<_> = isolate.requests().map(|(_, transit)| transit).collect();
            let is_settled =
                |transit: &&Transit| matches!(transit, Transit::Answered(Reply::Report(_)));
            let starts = |transit: &&Transit| match transit {
                Transit::Answered(Reply::Pulse(reply)) => !reply.started.is_empty(),
                _ => false,
            };
            transits.iter().any(is_settled) && transits.iter().any(starts)
        })
    }),
    ("a run aborts the call of a cancelled job", |_, s| {
        let aborted = |sent: &Unanswered| matches!(sent, Unanswered::Aborted(_));
        let mut isolates = s.isolates.iter();
        isolates.any(|isolate| isolate.unanswered.values().any(aborted))
    }),
    ("a run gives back a call that it was never told", |_, s| {
        gives_back(s, CallState::Started)
    }),
    ("a call is held ready", |_, s| {
        s.db.calls
            .values()
            .any(|call| call.state == CallState::Held)
    }),
    ("a worker has two calls", |_, s| {
        (0..s.db.workers.len()).any(|worker| {
            let calls = s.db.calls.values();
            calls
                .filter(|call| usize::from(call.worker) == worker)
                .count()
                > 1
        })
    }),
    ("a held call is started beside a report", |_, s| {
        reports(s, |_, report, _| report.started.is_some())
    }),
    ("a held call is given back with a report", |_, s| {
        reports(s, |_, report, _| report.given_back.is_some())
    }),
    ("a held call is given back with a pulse", |_, s| {
        gives_back(s, CallState::Held)
    }),
    ("a held call is lost", |_, s| {
        s.db.inserted().any(|job| job.unstarted > 0)
    }),
];

/// The names of all situations.
pub fn names() -> impl Iterator<Item = &'static str> {
    SITUATIONS.iter().map(|(name, _)| *name)
}

pub(crate) fn all() -> impl Iterator<Item = Property<Protocol>> {
    SITUATIONS
        .iter()
        .map(|(name, is_met)| Property::sometimes(name, *is_met))
}

fn reports(s: &State, is_such: fn(&State, &Report, &Transit) -> bool) -> bool {
    let mut requests = s.isolates.iter().flat_map(Isolate::requests);
    requests.any(|(request, transit)| match request {
        Request::Report(report) => is_such(s, report, transit),
        Request::Pulse(_) => false,
    })
}

fn pulses(s: &State, is_such: fn(&State, &Pulse, &Transit) -> bool) -> bool {
    let mut requests = s.isolates.iter().flat_map(Isolate::requests);
    requests.any(|(request, transit)| match request {
        Request::Pulse(pulse) => is_such(s, pulse, transit),
        Request::Report(_) => false,
    })
}

/// Whether an answer to a report is on its way with such a next job.
fn hands_out(s: &State, is_such: fn(&State, CallId) -> bool) -> bool {
    let mut requests = s.isolates.iter().flat_map(Isolate::requests);
    requests.any(|(_, transit)| match transit {
        Transit::Answered(Reply::Report(reply)) => reply.next.is_some_and(|next| is_such(s, next)),
        _ => false,
    })
}

/// Whether a pulse gives back a call that the database has in this state.
fn gives_back(s: &State, state: CallState) -> bool {
    let mut requests = s.isolates.iter().flat_map(Isolate::requests);
    requests.any(|(request, _)| match request {
        Request::Pulse(pulse) => pulse.give_back.iter().any(|id| {
            let row = s.db.calls.get(id);
            row.is_some_and(|row| row.state == state)
        }),
        Request::Report(_) => false,
    })
}
