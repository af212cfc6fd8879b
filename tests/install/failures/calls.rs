//! The calls that each command makes to the platform, and the failures to try.

use crate::management_api::Fault::{self, Cut, Hang, Lie, Lost, Status};
use crate::management_api::Pattern;
use crate::states::State::{
    self, Installed, Nothing, RotationBegun, RotationHalfDone, WithAddOn, WithAnonKey,
    WithoutFunction, WithoutFunctionsSecret, WithoutSchema, WithoutSignature,
};

/// A command, and the calls that it makes.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) options: &'static str,
    /// The project's state after it succeeds.
    pub(super) to: State,
    pub(super) calls: &'static [Call],
}

/// A call that is to fail.
pub(super) struct Call {
    pub(super) like: Pattern,
    /// A state of the project in which the command makes few other calls first.
    pub(super) from: State,
    /// The step, or the doctor's line, that must report the failure.
    pub(super) step: &'static str,
    /// What is always tried: nothing if other calls like it cover it.
    pub(super) tried: &'static [Fault],
    /// Which of these goes through the real CLI.
    pub(super) real: Option<Fault>,
}

const fn call(like: Pattern, from: State, step: &'static str, tried: &'static [Fault]) -> Call {
    Call {
        like,
        from,
        step,
        tried,
        real: None,
    }
}

impl Call {
    const fn real(self, fault: Fault) -> Self {
        Self {
            real: Some(fault),
            ..self
        }
    }
}

pub(crate) const PROJECTS: Pattern = Pattern::new("GET", "/v1/projects");
pub(crate) const FUNCTIONS: Pattern = Pattern::new("GET", "/functions");
pub(crate) const SECRETS: Pattern = Pattern::new("GET", "/secrets");
pub(crate) const SET_SECRETS: Pattern = Pattern::new("POST", "/secrets");
pub(crate) const UNSET_SECRETS: Pattern = Pattern::new("DELETE", "/secrets");
pub(crate) const DEPLOY: Pattern = Pattern::new("POST", "/functions/deploy");
pub(crate) const API_KEYS: Pattern = Pattern::new("GET", "/api-keys");
pub(crate) const DELETE: Pattern = Pattern::new("DELETE", "/functions/supaqueue");

const STATE: Pattern = Pattern::query("supaqueue_state");
const MIGRATE: Pattern = Pattern::query("cannot apply version 1 of supaqueue");
const SCHEDULE: Pattern = Pattern::query("supaqueue.schedule_tick()) as result");
const PROBE: Pattern = Pattern::query("supaqueue_probe");
const ANSWERS: Pattern = Pattern::query("supaqueue_answers");
const DIAGNOSE: Pattern = Pattern::query("supaqueue_doctor");
const FIND_DEPENDENTS: Pattern = Pattern::query("dependents");
const DROP: Pattern = Pattern::query("drop schema if exists");
const CREATE_ADD_ON: Pattern = Pattern::query("comment on table supaqueue.job_dependencies");
const DROP_ADD_ON: Pattern = Pattern::query("cannot remove job dependencies");
pub(crate) const MAKE_SECRET: Pattern = Pattern::query("the key that will sign");
pub(crate) const PROMOTE_SECRET: Pattern =
    Pattern::query("new_name => 'supaqueue_secret_previous'");
const PENDING: Pattern = Pattern::query("c.state = 'sent' and c.created_at");
const FORGET_SECRET: Pattern =
    Pattern::query("delete from vault.secrets where name = 'supaqueue_secret_previous'");
const SELF_TEST: Pattern = Pattern::query("values ('supaqueue_self_test");
const SELF_TEST_OUTCOME: Pattern = Pattern::query("pg_temp.supaqueue_self_test()");
const SELF_TEST_END: Pattern = Pattern::query("delete from supaqueue.queue where name").after(1);

#[rustfmt::skip]
pub(super) const INSTALL: Command = Command {
    name: "install",
    options: "--yes",
    to: Installed,
    calls: &[
        call(PROJECTS, Nothing, "tools and login", &[Status(401), Hang]).real(Hang),
        call(STATE, Nothing, "secret", &[Status(429)]),
        call(MAKE_SECRET, Nothing, "secret", &[Status(409)]).real(Status(409)),
        call(SECRETS, Installed, "functions' secret", &[Status(403)]),
        call(SET_SECRETS, WithoutFunctionsSecret, "functions' secret", &[Lie, Lost]).real(Lie),
        call(SECRETS.after(1), WithoutFunctionsSecret, "functions' secret", &[Cut]),
        call(MIGRATE, WithoutSchema, "migrations", &[Lost]),
        call(PROMOTE_SECRET, WithoutSignature, "Vault", &[Lost]),
        call(FUNCTIONS, WithoutFunction, "function", &[Status(404)]),
        call(DEPLOY, WithoutFunction, "function", &[Lie, Lost, Status(500)]),
        call(FUNCTIONS.after(1), WithoutFunction, "function", &[Cut]),
        call(PROBE, Installed, "function", &[]),
        call(ANSWERS, Installed, "function", &[]),
        call(SCHEDULE, Installed, "tick", &[Lost]),
        call(STATE.after(1), Installed, "verification", &[Status(500)]),
        call(SECRETS.after(1), Installed, "verification", &[]),
        call(FUNCTIONS.after(1), Installed, "verification", &[]),
        call(SELF_TEST, Installed, "verification", &[Lost]),
        call(SELF_TEST_OUTCOME, Installed, "verification", &[]),
        call(SELF_TEST_END, Installed, "verification", &[Lost]),
    ],
};

/// For a project whose gateway requires a key.
pub(super) const INSTALL_WITH_ANON_KEY: Command = Command {
    name: "install",
    options: "--yes --anon-key",
    to: WithAnonKey,
    calls: &[call(API_KEYS, Installed, "URL", &[Status(404)])],
};

#[rustfmt::skip]
pub(super) const REMOVE: Command = Command {
    name: "remove",
    options: "--yes",
    to: Nothing,
    calls: &[
        call(PROJECTS, Installed, "tools and login", &[Status(401)]),
        call(FIND_DEPENDENTS, Installed, "dependent objects", &[Status(500)]).real(Status(500)),
        call(DROP, Installed, "database", &[Lost]),
        call(FUNCTIONS, Installed, "function", &[Status(404)]).real(Status(404)),
        call(DELETE, Installed, "function", &[Lost, Lie]),
        call(FUNCTIONS.after(1), Installed, "function", &[Cut]),
        call(SECRETS, Installed, "functions' secret", &[Status(429)]),
        call(UNSET_SECRETS, Installed, "functions' secret", &[Lost, Lie]),
        call(SECRETS.after(1), Installed, "functions' secret", &[]),
    ],
};

const ACCEPT_BOTH: &str = "functions accept both secrets";
const ACCEPT_NEW: &str = "functions accept only the new secret";

#[rustfmt::skip]
pub(super) const ROTATE_SECRET: Command = Command {
    name: "rotate-secret",
    options: "--yes",
    to: Installed,
    calls: &[
        call(PROJECTS, Installed, "tools and login", &[Status(401)]).real(Status(401)),
        call(STATE, Installed, "new secret", &[]),
        call(MAKE_SECRET, Installed, "new secret", &[Lost]),
        call(SET_SECRETS, RotationBegun, ACCEPT_BOTH, &[Lost, Lie]),
        call(SECRETS, RotationBegun, ACCEPT_BOTH, &[Cut]).real(Cut),
        call(PROBE, RotationBegun, ACCEPT_BOTH, &[Status(500)]),
        call(ANSWERS, RotationBegun, ACCEPT_BOTH, &[]),
        call(PROMOTE_SECRET, RotationBegun, "database signs with the new secret", &[Lost]),
        call(SET_SECRETS, RotationHalfDone, "pending dispatches", &[Lost]),
        call(SECRETS, RotationHalfDone, "pending dispatches", &[]),
        call(PENDING, RotationHalfDone, "pending dispatches", &[Status(404)]),
        call(SET_SECRETS.after(1), RotationHalfDone, ACCEPT_NEW, &[Lost]),
        call(SECRETS.after(1), RotationHalfDone, ACCEPT_NEW, &[]),
        call(PROBE, RotationHalfDone, ACCEPT_NEW, &[Cut]),
        call(ANSWERS, RotationHalfDone, ACCEPT_NEW, &[]),
        call(FORGET_SECRET, RotationHalfDone, ACCEPT_NEW, &[Lost]),
    ],
};

#[rustfmt::skip]
pub(super) const ADD: Command = Command {
    name: "add-on add",
    options: "job_dependencies --yes",
    to: WithAddOn,
    calls: &[
        call(PROJECTS, Installed, "tools and login", &[Status(401)]),
        call(STATE, Installed, "schema", &[Status(403)]),
        call(CREATE_ADD_ON, Installed, "add-on", &[Status(409), Lost]).real(Lost),
    ],
};

#[rustfmt::skip]
pub(super) const REMOVE_ADD_ON: Command = Command {
    name: "add-on remove",
    options: "job_dependencies --yes",
    to: Installed,
    calls: &[
        call(PROJECTS, WithAddOn, "tools and login", &[Cut]),
        call(STATE, WithAddOn, "schema", &[Status(500)]),
        call(DROP_ADD_ON, WithAddOn, "add-on", &[Lost, Status(429)]).real(Status(429)),
    ],
};

#[rustfmt::skip]
pub(super) const DOCTOR: Command = Command {
    name: "doctor",
    options: "",
    to: Installed,
    calls: &[
        call(PROJECTS, Installed, "tools and login", &[Status(401)]),
        call(STATE, Installed, "database", &[Status(403)]).real(Status(403)),
        call(FUNCTIONS, Installed, "function", &[Status(404)]),
        call(SECRETS, Installed, "functions' secret", &[Status(500)]),
        call(DIAGNOSE, Installed, "database", &[Cut]),
        call(PROBE, Installed, "pg_net", &[Status(429)]),
        call(ANSWERS, Installed, "pg_net", &[]),
        call(SELF_TEST, Installed, "self-test", &[Lost]),
        call(SELF_TEST_OUTCOME, Installed, "self-test", &[Hang]),
        call(SELF_TEST_END, Installed, "self-test", &[Lost]),
    ],
};
