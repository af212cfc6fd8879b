//! Actions: each is a statement, shown on the page that asks and run as it was shown.
//!
//! A button leads to `/actions/{name}/confirm?fields`, which shows what [`Action`] these fields give; its form posts the same
//! fields to `/actions/{name}`. The statement depends on nothing but them, so what runs is what was shown.

mod job;
mod queue;
mod schedule;

use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::access;
use crate::app::App;
use crate::context::{Context, Page, Reply, Section};
use crate::error::{Error, Refusal};
use crate::fields::Fields;
use crate::{screen, text};

/// What can be done, before it is done.
pub(crate) struct Action {
    /// What it does, as a title: "Pause the queue".
    pub(crate) title: String,
    /// What happens then, in a sentence or two.
    pub(crate) effect: String,
    /// The statement.
    pub(crate) sql: String,
    /// The jobs that it acts on, to be counted.
    pub(crate) jobs: Option<Jobs>,
    /// What the button says.
    pub(crate) button: &'static str,
    /// Whether it cannot be undone.
    pub(crate) is_final: bool,
    /// Where to go instead.
    pub(crate) back: String,
    /// What there is none of, if the statement returns no row.
    pub(crate) missing: String,
    /// Where the result can be seen, and what to say there, given the first column that the statement returned.
    pub(crate) done: Done,
}

/// Makes an address and a notice of what a statement returned.
pub(crate) type Done = Box<dyn Fn(&str) -> (String, String) + Send + Sync>;

/// The jobs of an operation, as `supaqueue.preview` counts them.
pub(crate) struct Jobs {
    pub(crate) action: &'static str,
    /// JSON, like the changes.
    pub(crate) filter: String,
    pub(crate) changes: Option<String>,
}

/// The action of a name with the fields of its form.
fn parse(name: &str, fields: &Fields) -> Result<Action, Error> {
    match name {
        "pause-queue" => queue::pause(fields),
        "resume-queue" => queue::resume(fields),
        "set-workers" => queue::set_workers(fields),
        "change-queue" => queue::change(fields),
        "pause-schedule" => schedule::pause(fields),
        "resume-schedule" => schedule::resume(fields),
        "run-schedule" => schedule::run(fields),
        "unschedule" => schedule::delete(fields),
        "run-job" => job::run_now(fields),
        "retry-job" => job::retry(fields),
        "cancel-job" => job::cancel(fields),
        "delete-job" => job::delete(fields),
        "retry-jobs" => job::operation("retry", fields),
        "cancel-jobs" => job::operation("cancel", fields),
        "delete-jobs" => job::operation("delete", fields),
        "change-jobs" => job::operation("change", fields),
        "stop-operation" => job::stop_operation(fields),
        "resume-operation" => job::resume_operation(fields),
        _ => Err(Error::NotFound(format!("There is no action {name}."))),
    }
}

/// How a button looks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// The accent's color: one on a page at most.
    pub(crate) is_primary: bool,
    /// The key that presses it.
    pub(crate) key: Option<char>,
}

/// A button that leads to the page which asks for an action; nothing if the dashboard is read-only.
pub(crate) fn button(
    context: &Context,
    action: &str,
    fields: &Fields,
    label: &str,
    look: Look,
) -> Markup {
    html! {
        @if !context.is_read_only() {
            form.action method="get" action=(confirm_path(action)) {
                (hidden(fields))
                button.primary[look.is_primary] data-key=[look.key] { (label) }
            }
        }
    }
}

/// Where a form that has the fields of an action leads to (`method="get"`).
pub(crate) fn confirm_path(action: &str) -> String {
    format!("/actions/{action}/confirm")
}

/// Fields as hidden inputs of a form.
pub(crate) fn hidden(fields: &Fields) -> Markup {
    html! {
        @for (name, value) in fields.iter() { input type="hidden" name=(name) value=(value); }
    }
}

/// The page that asks.
pub(crate) async fn confirm(context: Arc<Context>) -> Result<Page, Error> {
    if context.is_read_only() {
        return Err(Error::ReadOnly);
    }
    let name = context.parameter("action");
    let action = parse(name, &context.query)?;
    question(&context, name, &context.query, &action, None).await
}

/// Does what was asked about.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
    request: Request,
) -> Response {
    let context = Context::bare(app, request.uri().path());
    let name = parameters.iter().next().map_or("", |(_, name)| name);
    let reply = match access::form(request).await {
        Ok(fields) => run_with(&context, name, &fields).await,
        Err(error) => Err(error),
    };
    context.respond(reply)
}

async fn run_with(context: &Context, name: &str, fields: &Fields) -> Result<Reply, Error> {
    if context.is_read_only() {
        return Err(Error::ReadOnly);
    }
    let action = parse(name, fields)?;
    match context.database().write(&action.sql).await {
        Ok(Some(result)) => {
            let (to, notice) = (action.done)(&result);
            let number = context.app.add_notice(notice).to_string();
            let separator = if to.contains('?') { '&' } else { '?' };
            Ok(Reply::Redirect(format!("{to}{separator}notice={number}")))
        }
        Ok(None) => Err(Error::NotFound(action.missing)),
        Err(Error::Refused(refusal)) if name == "change-queue" => {
            screen::queue::refused(context, fields, &refusal)
                .await
                .map(Reply::Page)
        }
        Err(Error::Refused(refusal)) => question(context, name, fields, &action, Some(&refusal))
            .await
            .map(Reply::Page),
        Err(error) => Err(error),
    }
}

async fn question(
    context: &Context,
    name: &str,
    fields: &Fields,
    action: &Action,
    refusal: Option<&Refusal>,
) -> Result<Page, Error> {
    let count = match &action.jobs {
        Some(jobs) => Some(jobs.count(context).await?),
        None => None,
    };
    let body = html! {
        h1 { (text::inline(&action.title)) }
        @if let Some(refusal) = refusal {
            section.problem role="alert" { h2 { "The database refused this" } (refusal.show()) }
        }
        p { (action.effect) }
        dl.facts {
            div { dt { "Project" } dd { (text::inline(&context.app.project)) } }
            @if let Some(count) = &count {
                div { dt { "Jobs" } dd { strong { (count.show()) } } }
            }
        }
        @if action.jobs.is_some() {
            form.inline.pace method="get" action=(confirm_path(name)) {
                (hidden(&fields.with("per_second", None)))
                label for="per-second" { "Jobs per second, at most" }
                input #per-second type="number" name="per_second" min="1" max="1000000" placeholder="no limit" value=[fields.get("per_second")];
                button.small { "Apply" }
            }
        }
        h2 { "This statement runs" }
        pre.sql { code { (text::block(&action.sql)) } }
        div.buttons {
            @if count.as_ref().is_none_or(|count| count.matching > 0) {
                form method="post" action=(format!("/actions/{name}")) {
                    (hidden(fields))
                    button.danger[action.is_final].primary[!action.is_final] autofocus[!action.is_final] { (action.button) }
                }
            } @else {
                p { "No job matches: there is nothing to do." }
            }
            a.button href=(action.back) autofocus[action.is_final] { "Back" }
        }
    };
    Ok(Page {
        status: match refusal {
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
            None => StatusCode::OK,
        },
        ..Page::new(Section::None, action.title.clone(), body).still()
    })
}

/// What `supaqueue.preview` returns.
#[derive(Deserialize)]
struct Count {
    matching: i64,
    is_exact: bool,
}

impl Jobs {
    async fn count(&self, context: &Context) -> Result<Count, Error> {
        context
            .database()
            .read(
                "select to_jsonb(p) from supaqueue.preview($1, $2::jsonb, $3::jsonb) p",
                &[
                    Some(self.action),
                    Some(&self.filter),
                    self.changes.as_deref(),
                ],
            )
            .await
    }
}

impl Count {
    fn show(&self) -> String {
        match self.is_exact {
            true => text::number(self.matching),
            false => format!("more than {}", text::number(self.matching)),
        }
    }
}
