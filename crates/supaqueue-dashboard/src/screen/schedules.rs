//! Schedules.

use std::sync::Arc;

use maud::html;

use super::part;
use crate::context::{Context, Page, Section};
use crate::error::Error;

/// The address of a schedule.
pub(crate) fn path(name: &str) -> String {
    format!("/schedules/{}", part(name))
}

pub(crate) async fn list(_context: Arc<Context>) -> Result<Page, Error> {
    Ok(Page::new(Section::Schedules, "Schedules", html! { h1 { "Schedules" } }))
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let name = context.parameter("name");
    Ok(Page::new(Section::Schedules, format!("Schedule {name}"), html! { h1 { "Schedule" } }))
}
