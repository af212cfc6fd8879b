//! Operations: bulk actions on jobs.

use std::sync::Arc;

use maud::html;

use super::part;
use crate::context::{Context, Page, Section};
use crate::error::Error;

/// The address of an operation.
pub(crate) fn path(id: &str) -> String {
    format!("/operations/{}", part(id))
}

pub(crate) async fn show(_context: Arc<Context>) -> Result<Page, Error> {
    Ok(Page::new(
        Section::Operations,
        "Operations",
        html! { h1 { "Operations" } },
    ))
}

pub(crate) async fn one(context: Arc<Context>) -> Result<Page, Error> {
    let id = context.parameter("id");
    Ok(Page::new(
        Section::Operations,
        format!("Operation {id}"),
        html! { h1 { "Operation" } },
    ))
}
