//! What all pages have: the frame, the navigation, the help.

use maud::{DOCTYPE, Markup, html};

use crate::assets::{SCRIPT, STYLE};
use crate::context::{Context, Page, Section};
use crate::text;

/// How often the script asks for the page again, in milliseconds.
const REFRESH_MS: u32 = 5000;

const SECTIONS: [(Section, &str, &str); 6] = [
    (Section::Overview, "/", "Overview"),
    (Section::Jobs, "/jobs", "Jobs"),
    (Section::Failures, "/failures", "Failures"),
    (Section::Schedules, "/schedules", "Schedules"),
    (Section::Pipelines, "/pipelines", "Pipelines"),
    (Section::Operations, "/operations", "Operations"),
];

const KEYS: [(&str, &str); 7] = [
    ("?", "show this help"),
    ("/", "go to the search field"),
    ("j", "next row"),
    ("k", "previous row"),
    ("x", "select the row"),
    ("r", "retry what is selected, or the job shown"),
    ("c", "cancel what is selected, or the job shown"),
];

/// A whole document.
pub(crate) fn document(context: &Context, page: &Page) -> Markup {
    let app = &context.app;
    // What an action answers has an address that only takes a form.
    let is_live = page.is_live && !context.path.starts_with("/actions/");
    frame(
        &format!("{} · {}", page.title, app.project),
        is_live.then_some(REFRESH_MS),
        html! {
            a.skip href="#main" { "Skip to content" }
            header.top {
                a.brand href="/" { "Supaqueue" }
                span.project { (text::short(&app.project, 60)) @if app.is_read_only { " " span.tag { "read-only" } } }
                nav aria-label="Main" {
                    ul {
                        @for (section, path, name) in SECTIONS {
                            li { a href=(path) aria-current=[(section == page.section).then_some("page")] { (name) } }
                        }
                    }
                }
                div.tools {
                    button.quiet.needs-script type="button" data-help { "Keys" }
                    @if app.gate.has_password() {
                        form method="post" action="/logout" { button.quiet { "Log out" } }
                    }
                }
            }
            p #connection.connection role="status" aria-live="polite" hidden {}
            main #main tabindex="-1" data-status=(page.status.as_u16()) {
                @if let Some(notice) = context.query.get("notice").and_then(|number| app.notice(number)) {
                    p #notice.notice role="status" { (text::inline(&notice)) }
                }
                (page.body)
                @if is_live && page.status.is_server_error() { p.needs-script { "This page tries again by itself." } }
            }
            dialog #help aria-labelledby="help-title" {
                h2 #help-title { "Keys" }
                dl.keys {
                    @for (key, what) in KEYS { div { dt { kbd { (key) } } dd { (what) } } }
                }
                p { label { input #keys-on type="checkbox" checked; " These keys act" } }
                form method="dialog" { button { "Close" } }
            }
        },
    )
}

/// A button that copies the text of the element before it.
pub(crate) fn copy() -> Markup {
    html! { button.small.needs-script type="button" data-copy { "Copy" } }
}

/// A document without the navigation: the login, and what is refused at the door.
pub(crate) fn bare(title: &str, body: Markup) -> Markup {
    frame(
        title,
        None,
        html! { main #main.bare { p.brand { "Supaqueue" } (body) } },
    )
}

fn frame(title: &str, refresh_ms: Option<u32>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (text::plain(title)) " · Supaqueue" }
                // So that no request is made for one.
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(STYLE.path);
                script src=(SCRIPT.path) defer {}
            }
            body data-refresh=[refresh_ms] { (body) }
        }
    }
}
