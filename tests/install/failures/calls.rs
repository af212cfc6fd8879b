//! The calls that each command makes to the platform, and the failures to try.

use crate::management_api::{Fault, REF};
use crate::states::State;
use Fault::{Cut, Hang, Lie, Lost, Status};

/// A command, and the calls that it makes.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) options: &'static [&'static str],
    /// The project's state after it succeeds.
    pub(super) to: State,
    pub(super) calls: &'static [Call],
}

/// A call that is to fail.
pub(super) struct Call {
    pub(super) method: &'static str,
    /// The end of its path.
    pub(super) path: &'static str,
    /// Words of its body.
    pub(super) words: &'static str,
    /// How many of the command's calls like it come first.
    pub(super) skip: usize,
    /// A state of the project in which the command makes few other calls first.
    pub(super) from: State,
    /// The step, or the doctor's line, that must report the failure.
    pub(super) step: &'static str,
    /// What is always tried: nothing if other calls like it cover it.
    pub(super) tried: &'static [Fault],
    /// Which of these goes through the real CLI.
    pub(super) real: Option<Fault>,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            method,
            path,
            words,
            skip,
            ..
        } = self;
        write!(f, "{method} {path} {words:?} {skip}")
    }
}

/// Method, end of the path, and how many calls like it come first.
type Like = (&'static str, &'static str, usize);

const fn call(
    (method, path, skip): Like,
    from: State,
    step: &'static str,
    tried: &'static [Fault],
) -> Call {
    let words = "";
    Call {
        method,
        path,
        words,
        skip,
        from,
        step,
        tried,
        real: None,
    }
}

const fn query(
    (words, skip): (&'static str, usize),
    from: State,
    step: &'static str,
    tried: &'static [Fault],
) -> Call {
    let (method, path) = ("POST", "/database/query");
    Call {
        method,
        path,
        words,
        skip,
        from,
        step,
        tried,
        real: None,
    }
}

const fn through_the_real_cli(fault: Fault, call: Call) -> Call {
    Call {
        real: Some(fault),
        ..call
    }
}

const PROJECTS: Like = ("GET", "/v1/projects", 0);
const FUNCTIONS: Like = ("GET", "/functions", 0);
const FUNCTIONS_AGAIN: Like = ("GET", "/functions", 1);
const SECRETS: Like = ("GET", "/secrets", 0);
const SECRETS_AGAIN: Like = ("GET", "/secrets", 1);
const SET_SECRETS: Like = ("POST", "/secrets", 0);
const SET_SECRETS_AGAIN: Like = ("POST", "/secrets", 1);
const UNSET_SECRETS: Like = ("DELETE", "/secrets", 0);
const DEPLOY: Like = ("POST", "/functions/deploy", 0);
const API_KEYS: Like = ("GET", "/api-keys", 0);
const DELETE: Like = ("DELETE", "/functions/supaqueue", 0);

const STATE: (&str, usize) = ("supaqueue_state", 0);
const STATE_AGAIN: (&str, usize) = ("supaqueue_state", 1);
const PROBE: (&str, usize) = ("supaqueue_probe", 0);
const ANSWERS: (&str, usize) = ("supaqueue_answers", 0);
const MAKE_SECRET: (&str, usize) = ("the key that will sign", 0);
const PROMOTE_SECRET: (&str, usize) = ("new_name => 'supaqueue_secret_previous'", 0);
const SELF_TEST: (&str, usize) = ("values ('supaqueue_self_test'", 0);
const SELF_TEST_OUTCOME: (&str, usize) = ("pg_temp.supaqueue_self_test()", 0);
const SELF_TEST_END: (&str, usize) = ("delete from supaqueue.queue where name", 1);

pub(super) const INSTALL: Command = Command {
    name: "install",
    options: &["--project-ref", REF, "--yes"],
    to: State::Installed,
    calls: &[
        through_the_real_cli(
            Hang,
            call(
                PROJECTS,
                State::Nothing,
                "tools and login",
                &[Status(401), Hang],
            ),
        ),
        query(STATE, State::Nothing, "secret", &[Status(429)]),
        through_the_real_cli(
            Status(409),
            query(MAKE_SECRET, State::Nothing, "secret", &[Status(409)]),
        ),
        call(
            SECRETS,
            State::Installed,
            "functions' secret",
            &[Status(403)],
        ),
        through_the_real_cli(
            Lie,
            call(
                SET_SECRETS,
                State::WithoutFunctionsSecret,
                "functions' secret",
                &[Lie, Lost],
            ),
        ),
        call(
            SECRETS_AGAIN,
            State::WithoutFunctionsSecret,
            "functions' secret",
            &[Cut],
        ),
        query(
            ("cannot apply version 1 of supaqueue", 0),
            State::WithoutSchema,
            "migrations",
            &[Lost],
        ),
        query(PROMOTE_SECRET, State::WithoutSignature, "Vault", &[Lost]),
        call(
            FUNCTIONS,
            State::WithoutFunction,
            "function",
            &[Status(404)],
        ),
        call(
            DEPLOY,
            State::WithoutFunction,
            "function",
            &[Lie, Lost, Status(500)],
        ),
        call(FUNCTIONS_AGAIN, State::WithoutFunction, "function", &[Cut]),
        query(PROBE, State::Installed, "function", &[]),
        query(ANSWERS, State::Installed, "function", &[]),
        query(
            ("supaqueue.schedule_tick()) as result", 0),
            State::Installed,
            "tick",
            &[Lost],
        ),
        query(
            STATE_AGAIN,
            State::Installed,
            "verification",
            &[Status(500)],
        ),
        call(SECRETS_AGAIN, State::Installed, "verification", &[]),
        call(FUNCTIONS_AGAIN, State::Installed, "verification", &[]),
        query(SELF_TEST, State::Installed, "verification", &[Lost]),
        query(SELF_TEST_OUTCOME, State::Installed, "verification", &[]),
        query(SELF_TEST_END, State::Installed, "verification", &[Lost]),
    ],
};

/// For a project whose gateway requires a key.
pub(super) const INSTALL_WITH_ANON_KEY: Command = Command {
    name: "install",
    options: &["--project-ref", REF, "--yes", "--anon-key"],
    to: State::WithAnonKey,
    calls: &[call(API_KEYS, State::Installed, "URL", &[Status(404)])],
};

pub(super) const REMOVE: Command = Command {
    name: "remove",
    options: &["--project-ref", REF, "--yes"],
    to: State::Nothing,
    calls: &[
        call(
            PROJECTS,
            State::Installed,
            "tools and login",
            &[Status(401)],
        ),
        through_the_real_cli(
            Status(500),
            query(
                ("dependents", 0),
                State::Installed,
                "dependent objects",
                &[Status(500)],
            ),
        ),
        query(
            ("drop schema if exists", 0),
            State::Installed,
            "database",
            &[Lost],
        ),
        through_the_real_cli(
            Status(404),
            call(FUNCTIONS, State::Installed, "function", &[Status(404)]),
        ),
        call(DELETE, State::Installed, "function", &[Lost, Lie]),
        call(FUNCTIONS_AGAIN, State::Installed, "function", &[Cut]),
        call(
            SECRETS,
            State::Installed,
            "functions' secret",
            &[Status(429)],
        ),
        call(
            UNSET_SECRETS,
            State::Installed,
            "functions' secret",
            &[Lost, Lie],
        ),
        call(SECRETS_AGAIN, State::Installed, "functions' secret", &[]),
    ],
};

pub(super) const ROTATE_SECRET: Command = Command {
    name: "rotate-secret",
    options: &["--project-ref", REF, "--yes"],
    to: State::Installed,
    calls: &[
        through_the_real_cli(
            Status(401),
            call(
                PROJECTS,
                State::Installed,
                "tools and login",
                &[Status(401)],
            ),
        ),
        query(STATE, State::Installed, "new secret", &[]),
        query(MAKE_SECRET, State::Installed, "new secret", &[Lost]),
        call(
            SET_SECRETS,
            State::RotationBegun,
            "functions accept both secrets",
            &[Lost, Lie],
        ),
        through_the_real_cli(
            Cut,
            call(
                SECRETS,
                State::RotationBegun,
                "functions accept both secrets",
                &[Cut],
            ),
        ),
        query(
            PROBE,
            State::RotationBegun,
            "functions accept both secrets",
            &[Status(500)],
        ),
        query(
            ANSWERS,
            State::RotationBegun,
            "functions accept both secrets",
            &[],
        ),
        query(
            PROMOTE_SECRET,
            State::RotationBegun,
            "database signs with the new secret",
            &[Lost],
        ),
        call(
            SET_SECRETS,
            State::RotationHalfDone,
            "pending dispatches",
            &[Lost],
        ),
        call(SECRETS, State::RotationHalfDone, "pending dispatches", &[]),
        query(
            ("c.acknowledged_at is null and c.created_at", 0),
            State::RotationHalfDone,
            "pending dispatches",
            &[Status(404)],
        ),
        call(
            SET_SECRETS_AGAIN,
            State::RotationHalfDone,
            "functions accept only the new secret",
            &[Lost],
        ),
        call(
            SECRETS_AGAIN,
            State::RotationHalfDone,
            "functions accept only the new secret",
            &[],
        ),
        query(
            PROBE,
            State::RotationHalfDone,
            "functions accept only the new secret",
            &[Cut],
        ),
        query(
            ANSWERS,
            State::RotationHalfDone,
            "functions accept only the new secret",
            &[],
        ),
        query(
            (
                "delete from vault.secrets where name = 'supaqueue_secret_previous'",
                0,
            ),
            State::RotationHalfDone,
            "functions accept only the new secret",
            &[Lost],
        ),
    ],
};

pub(super) const ADD: Command = Command {
    name: "add-on add",
    options: &["job_dependencies", "--project-ref", REF, "--yes"],
    to: State::WithAddOn,
    calls: &[
        call(
            PROJECTS,
            State::Installed,
            "tools and login",
            &[Status(401)],
        ),
        query(STATE, State::Installed, "schema", &[Status(403)]),
        through_the_real_cli(
            Lost,
            query(
                ("comment on table supaqueue.job_dependencies", 0),
                State::Installed,
                "add-on",
                &[Status(409), Lost],
            ),
        ),
    ],
};

pub(super) const REMOVE_ADD_ON: Command = Command {
    name: "add-on remove",
    options: &["job_dependencies", "--project-ref", REF, "--yes"],
    to: State::Installed,
    calls: &[
        call(PROJECTS, State::WithAddOn, "tools and login", &[Cut]),
        query(STATE, State::WithAddOn, "schema", &[Status(500)]),
        through_the_real_cli(
            Status(429),
            query(
                ("cannot remove job dependencies", 0),
                State::WithAddOn,
                "add-on",
                &[Lost, Status(429)],
            ),
        ),
    ],
};

pub(super) const DOCTOR: Command = Command {
    name: "doctor",
    options: &["--project-ref", REF],
    to: State::Installed,
    calls: &[
        call(
            PROJECTS,
            State::Installed,
            "tools and login",
            &[Status(401)],
        ),
        through_the_real_cli(
            Status(403),
            query(STATE, State::Installed, "database", &[Status(403)]),
        ),
        call(FUNCTIONS, State::Installed, "function", &[Status(404)]),
        call(
            SECRETS,
            State::Installed,
            "functions' secret",
            &[Status(500)],
        ),
        query(
            ("supaqueue_doctor", 0),
            State::Installed,
            "database",
            &[Cut],
        ),
        query(PROBE, State::Installed, "pg_net", &[Status(429)]),
        query(ANSWERS, State::Installed, "pg_net", &[]),
        query(SELF_TEST, State::Installed, "self-test", &[Lost]),
        query(SELF_TEST_OUTCOME, State::Installed, "self-test", &[Hang]),
        query(SELF_TEST_END, State::Installed, "self-test", &[Lost]),
    ],
};
