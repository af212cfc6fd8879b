//! What a screen gets, and what it returns.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use maud::Markup;

use crate::app::App;
use crate::database::Database;
use crate::error::Error;
use crate::fields::Fields;
use crate::{layout, screen};

/// A request, as a screen sees it.
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    /// The path, as it was sent.
    pub(crate) path: String,
    /// The query.
    pub(crate) query: Fields,
    parameters: HashMap<String, String>,
}

impl Context {
    /// What a request asks for. The error has a context, too, to be shown in.
    fn of(
        app: Arc<App>,
        parameters: &RawPathParams,
        request: &Request,
    ) -> Result<Self, Box<(Self, Error)>> {
        let mut context = Self {
            app,
            path: request.uri().path().to_owned(),
            query: Fields::default(),
            parameters: parameters
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        match Fields::parse(request.uri().query().unwrap_or_default()) {
            Ok(query) => context.query = query,
            Err(error) => return Err(Box::new((context, error))),
        }
        Ok(context)
    }

    /// For an answer that no screen gives.
    pub(crate) fn bare(app: Arc<App>, path: &str) -> Self {
        Self {
            app,
            path: path.to_owned(),
            query: Fields::default(),
            parameters: HashMap::new(),
        }
    }

    /// The answer to the request.
    pub(crate) fn respond(&self, reply: Result<impl Into<Reply>, Error>) -> Response {
        match reply.map_or_else(|error| Page::of_error(&error).into(), Into::into) {
            Reply::Page(page) => (
                page.status,
                [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
                layout::document(self, &page).into_string(),
            )
                .into_response(),
            Reply::Text(text) => {
                ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
            }
            Reply::Redirect(to) => Redirect::to(&to).into_response(),
        }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.app.database
    }

    /// Whether buttons of actions are left out.
    pub(crate) fn is_read_only(&self) -> bool {
        self.app.is_read_only
    }

    /// A part of the path: `name` of `/queues/{name}`.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters
            .get(name)
            .map_or("", |part| screen::text_of_part(part))
    }

    /// This page with one field of its query changed.
    pub(crate) fn link_with(&self, name: &str, value: Option<&str>) -> String {
        self.query.with(name, value).link(&self.path)
    }
}

/// A page, without what all pages have.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    /// What the browser's tab says, with the project's name after it.
    pub(crate) title: String,
    /// The entry of the navigation that is current.
    pub(crate) section: Section,
    pub(crate) body: Markup,
    /// Whether the script refreshes it.
    pub(crate) is_live: bool,
}

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Jobs,
    Failures,
    Schedules,
    Pipelines,
    Operations,
    None,
}

impl Page {
    pub(crate) fn new(section: Section, title: impl Into<String>, body: Markup) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            section,
            body,
            is_live: true,
        }
    }

    /// A page that the script leaves as it is, because it has a form to be filled in.
    pub(crate) fn still(self) -> Self {
        Self {
            is_live: false,
            ..self
        }
    }

    /// The page that shows an error.
    pub(crate) fn of_error(error: &Error) -> Self {
        Self {
            status: error.status(),
            ..Self::new(
                Section::None,
                error.title(),
                maud::html! { h1 { (error.title()) } (error.body()) },
            )
        }
    }
}

/// What a screen returns.
pub(crate) enum Reply {
    Page(Page),
    /// Plain text as it is, which the browser shows as such, or saves.
    Text(String),
    /// After an action: another page (303).
    Redirect(String),
}

impl From<Page> for Reply {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

/// The route of a screen.
pub(crate) fn screen<F, R, T>(show: F) -> MethodRouter<Arc<App>>
where
    F: Fn(Arc<Context>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<T, Error>> + Send + 'static,
    T: Into<Reply>,
{
    get(
        async move |State(app): State<Arc<App>>, parameters: RawPathParams, request: Request| {
            let context = Arc::new(match Context::of(app, &parameters, &request) {
                Ok(context) => context,
                Err(refused) => {
                    let (context, error) = *refused;
                    return context.respond(Err::<Page, _>(error));
                }
            });
            context.respond(show(context.clone()).await)
        },
    )
}
