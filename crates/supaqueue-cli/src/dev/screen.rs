//! What `supaqueue dev` prints: where everything is, then the logs.

use serde_json::{Map, Value};
use supaqueue_local::{ExtensionKind, LogLine, Progress, Stack};

use crate::output::{is_colored, outln};

/// The width that lines of more than one value are wrapped to.
const WIDTH: usize = 80;

/// The width of the names, which are followed by a space.
const NAME: usize = 16;

/// The source of what is said about migrations.
const MIGRATIONS: &str = "migrations";

const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// Prints where everything is. One screen of 80 columns holds it, as long as the project has few
/// functions; no address or key is wrapped by us, so that each can be copied.
pub(super) fn print_stack(stack: &Stack, dashboard: &str, migrations: &Progress) {
    row("Dashboard", dashboard);
    row("API URL", stack.gateway_url());
    row("Database", stack.db_url());
    row("Functions", &list(&stack.functions()));
    if let Some(summary) = summary(migrations) {
        row("Migrations", &summary);
    }
    row("Postgres", stack.postgres_version());
    row("Extensions", &list(&extensions(stack)));
    row("publishable key", stack.keys().publishable());
    row("secret key", stack.keys().secret());
    row("anon key", stack.anon_key());
    row("service_role key", stack.service_role_key());
    outln!();
    outln!("For development and tests: the API is /rest/v1/rpc/* and /functions/v1/* only.");
    if stack.postgres().is_some() {
        outln!("The database is deleted when the stack stops.");
    }
    outln!("Press Ctrl-C to stop. The logs follow.\n");
}

fn row(name: &str, value: &str) {
    match is_colored(&std::io::stdout()) {
        true => outln!("{DIM}{name:<NAME$}{RESET} {value}"),
        false => outln!("{name:<NAME$} {value}"),
    }
}

/// How many migrations and seeds were applied; nothing if the project has none.
fn summary(migrations: &Progress) -> Option<String> {
    let applied = migrations.applied.len();
    match (&migrations.failure, applied) {
        (None, 0) => None,
        (None, _) => Some(format!("{applied} applied")),
        (Some(_), _) => Some(format!("{applied} applied, then one failed: see below")),
    }
}

fn extensions(stack: &Stack) -> Vec<String> {
    ExtensionKind::ALL
        .map(|kind| match stack.extensions().real(kind) {
            Some(version) => format!("{kind} {version}"),
            None => format!("{kind} emulated"),
        })
        .into()
}

/// The items on lines that fit beside a name.
fn list(items: &[String]) -> String {
    let mut text = String::new();
    let mut column = NAME + 1;
    for (index, item) in items.iter().enumerate() {
        let comma = if index + 1 < items.len() { "," } else { "" };
        let length = item.chars().count() + comma.len();
        if index > 0 && column + 1 + length > WIDTH {
            text += &format!("\n{:NAME$} ", "");
            column = NAME + 1;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text += &format!("{item}{comma}");
        column += length;
    }
    text
}

/// Prints log lines, with their sources in one column.
pub(super) struct Log {
    width: usize,
    is_colored: bool,
}

impl Log {
    pub(super) fn of(stack: &Stack) -> Self {
        let functions = stack.functions();
        let widths = functions.iter().map(|name| name.chars().count());
        Self {
            width: widths.max().unwrap_or_default().clamp(MIGRATIONS.len(), 20),
            is_colored: is_colored(&std::io::stdout()),
        }
    }

    pub(super) fn print(&self, line: &LogLine) {
        if !is_frame_of_the_runtime(&line.text) {
            outln!("{}", self.format(line));
        }
    }

    /// Prints what the user should know of the migrations.
    pub(super) fn print_progress(&self, progress: &Progress) {
        for note in &progress.notes {
            outln!("{}", self.with_source(MIGRATIONS, YELLOW, note));
        }
        for line in progress.failure.iter().flat_map(|failure| failure.lines()) {
            outln!("{}", self.with_source(MIGRATIONS, RED, line));
        }
    }

    pub(super) fn print_migration(&self, text: &str) {
        outln!("{}", self.with_source(MIGRATIONS, "", text));
    }

    fn format(&self, line: &LogLine) -> String {
        match readable(&line.text) {
            Some((level, text)) => self.with_source(&line.source, color_of(&level), &text),
            None => self.with_source(&line.source, "", &line.text),
        }
    }

    fn with_source(&self, source: &str, color: &str, text: &str) -> String {
        let width = self.width;
        match (self.is_colored, color) {
            (false, _) => format!("{source:>width$} | {text}"),
            (true, "") => format!("{DIM}{source:>width$} |{RESET} {text}"),
            (true, color) => format!("{DIM}{source:>width$} |{RESET} {color}{text}{RESET}"),
        }
    }
}

/// Whether a line is a stack frame in Deno or in what emulates the edge runtime: most frames of an
/// error are, and tell nothing about the function.
fn is_frame_of_the_runtime(line: &str) -> bool {
    let frame = line.trim_start().strip_prefix("at ");
    frame.is_some_and(|frame| {
        frame.contains("ext:deno_")
            || frame.contains("ext:core/")
            || frame.contains("/edge_runtime.ts:")
    })
}

fn color_of(level: &str) -> &'static str {
    match level {
        "error" => RED,
        "warn" => YELLOW,
        _ => "",
    }
}

/// A line of the supaqueue function for reading, and its level. On the platform its lines are JSON,
/// because the log explorer filters by their fields.
fn readable(line: &str) -> Option<(String, String)> {
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text_of = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let level = fields.get("level")?.as_str()?;
    let event = fields.get("event")?.as_str()?.replace('_', " ");
    let field = |name: &str| fields.get(name).map(text_of);
    let mut text = String::new();
    if level == "error" {
        text += "error: ";
    }
    text.extend(field("queue").map(|queue| format!("{queue}: ")));
    text += &event;
    for (name, label, unit) in [
        ("attempt", "attempt ", ""),
        ("status", "status ", ""),
        ("duration_ms", "", " ms"),
        ("count", "count ", ""),
        // Only where it is needed, as it is long. It tells with the attempt which call this was.
        ("job", "job ", ""),
    ] {
        if name != "job" || level != "info" {
            text.extend(field(name).map(|value| format!(", {label}{value}{unit}")));
        }
    }
    text.extend(
        field("message")
            .filter(|message| !text.contains(message.as_str()))
            .map(|message| format!(": {message}")),
    );
    Some((level.to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_supaqueue_function_are_made_readable() {
        let check = |line: &str, want: &str| {
            let log = Log {
                width: 9,
                is_colored: false,
            };
            let line = LogLine {
                source: "supaqueue".into(),
                text: line.into(),
            };
            assert_eq!(log.format(&line), format!("supaqueue | {want}"));
        };
        check(
            r#"{"level":"info","event":"call_succeeded","queue":"hello","job":"01a2293f-9aee-76ab-8f8e-145a90998167","current_job":"01a2293f-9afb-77ea-bf66-26142c197d76","attempt":1,"status":200,"duration_ms":64}"#,
            "hello: call succeeded, attempt 1, status 200, 64 ms",
        );
        check(
            r#"{"level":"warn","event":"call_failed","queue":"hello","job":"01a2293f-9aee-76ab-8f8e-145a90998167","attempt":2,"status":404,"message":"status 404"}"#,
            "hello: call failed, attempt 2, status 404, job 01a2293f-9aee-76ab-8f8e-145a90998167",
        );
        check(
            r#"{"level":"error","event":"misconfigured","message":"SUPAQUEUE_SECRET is not set"}"#,
            "error: misconfigured: SUPAQUEUE_SECRET is not set",
        );
        for other in ["{}", "plain", r#"{"level":1}"#, r#"{"event":"x"}"#, "[1]"] {
            check(other, other);
        }
    }

    #[test]
    fn the_stack_of_an_error_ends_where_the_function_does() {
        for (line, is_hidden) in [
            ("Error: no such thing", false),
            (
                "    at file:///app/supabase/functions/hello/index.ts:1:26",
                false,
            ),
            ("    at handle (file:///app/text:1.ts:1:26)", false),
            (
                "    at file:///tmp/supaqueue-HKwiI7QL/edge_runtime.ts:39:12",
                true,
            ),
            ("    at mapped (ext:deno_http/00_serve.ts:384:24)", true),
            ("    at ext:deno_http/00_serve.ts:624:29", true),
            ("looked at ext:deno_http", false),
        ] {
            assert_eq!(is_frame_of_the_runtime(line), is_hidden, "{line}");
        }
    }

    #[test]
    fn a_list_is_wrapped_between_items() {
        let items: Vec<_> = (0..30).map(|number| format!("function-{number}")).collect();
        let text = list(&items);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() > 2, "{text}");
        for (number, line) in lines.iter().enumerate() {
            let indent = if number == 0 { NAME + 1 } else { 0 };
            assert!(indent + line.chars().count() <= WIDTH, "{line:?}");
        }
        let joined = lines.join(" ");
        let words: Vec<_> = joined.split_whitespace().collect();
        assert_eq!(words.join(" "), items.join(", "));
        assert_eq!(list(&[]), "");
    }
}
