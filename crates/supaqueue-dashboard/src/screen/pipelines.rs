//! Pipelines.

use std::sync::Arc;

use maud::html;

use crate::context::{Context, Page, Section};
use crate::error::Error;

pub(crate) async fn show(_context: Arc<Context>) -> Result<Page, Error> {
    Ok(Page::new(
        Section::Pipelines,
        "Pipelines",
        html! { h1 { "Pipelines" } },
    ))
}
