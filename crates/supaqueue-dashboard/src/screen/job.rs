//! One job.

use std::sync::Arc;

use maud::html;

use super::part;
use crate::context::{Context, Page, Section};
use crate::error::Error;

/// The address of a job.
pub(crate) fn path(id: &str) -> String {
    format!("/jobs/{}", part(id))
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let id = context.parameter("id");
    Ok(Page::new(
        Section::Jobs,
        format!("Job {id}"),
        html! { h1 { "Job" } },
    ))
}
