//! Checks that a failure is reported with its cause and a fix.

use crate::management_api::Fault;
use crate::program::Run;

/// The ways in which a call fails without being carried out.
pub(super) const KINDS: [Fault; 8] = [
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Hang,
    Fault::Cut,
];

/// A run in steps reports the step that failed, the cause, the fix, what was left undone, and how to
/// resume. Returns the message.
pub(super) fn in_a_step(run: &Run, command: &str, step: &str, fault: Fault) -> String {
    run.assert_says(&["Resume with: supaqueue", command])
        .assert_says(&["Not done: ", step]);
    clearly(run, &format!("✗ {step}: "), fault)
}

/// The doctor reports the cause in the line of the failed check and the fix in the next. Returns both.
pub(super) fn in_a_line(run: &Run, subject: &str, fault: Fault) -> String {
    clearly(run, &format!("failed   {subject}: "), fault)
}

/// Returns the line that begins with this, and the fix in the next.
fn clearly(run: &Run, begin: &str, fault: Fault) -> String {
    let mut lines = run.text.lines();
    let what = lines.find(|line| line.starts_with(begin));
    let (Some(what), Some(remedy)) = (what, lines.next()) else {
        panic!("no line begins with {begin:?}:\n{}", run.text);
    };
    let (in_what, in_remedy) = match fault {
        // Some commands of the CLI do not report the status.
        Fault::Status(_) if what.contains("Unexpected error") => {
            ("failed", "not report the platform's HTTP status")
        }
        Fault::Status(401) => ("401", "Log in"),
        Fault::Status(403) => ("403", "lacks permission"),
        Fault::Status(404) if what.contains("still lists") => {
            ("the Supabase CLI reported success", "Run this again")
        }
        Fault::Status(404) => ("404", "Check the project's reference"),
        Fault::Status(409) => ("409", "Another change"),
        // The CLI retries a deployment for longer than the timeout.
        Fault::Status(429) if what.contains("did not finish") => {
            ("within", "--timeout allows more")
        }
        Fault::Status(429) => ("429", "wait a minute"),
        Fault::Status(_) => ("500", "status.supabase.com"),
        Fault::Hang => ("did not finish within", "--timeout allows more"),
        Fault::Cut | Fault::Lost => ("failed", "network"),
        Fault::Stall => unreachable!("it is no failure"),
        Fault::Lie => ("the Supabase CLI reported success", "Run this again"),
    };
    assert!(
        what.contains(in_what) && remedy.starts_with("  ") && remedy.contains(in_remedy),
        "{fault:?} is not reported as {in_what:?} with {in_remedy:?}:\n{}",
        run.text
    );
    format!("{what}{remedy}")
}
