//! The application: its state, and which screen is where.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::access::{self, Gate};
use crate::context::{Context, Page, screen};
use crate::database::Database;
use crate::error::Error;
use crate::screen::{failures, job, jobs, operations, overview, pipelines, queue, schedules};
use crate::{action, assets};

/// Notices that are kept; each is read right after its action.
const NOTICES: usize = 100;

/// What all requests share.
pub(crate) struct App {
    pub(crate) project: String,
    pub(crate) is_read_only: bool,
    pub(crate) database: Database,
    pub(crate) gate: Gate,
    /// What actions have done. Addresses only have a number, so that a link cannot put words into our mouth.
    notices: Mutex<Notices>,
}

struct Notices {
    /// Begins at random, so that an address from before a restart finds none.
    first: u64,
    texts: VecDeque<String>,
}

impl App {
    pub(crate) fn new(project: String, is_read_only: bool, database: Database, gate: Gate) -> Self {
        Self {
            project,
            is_read_only,
            database,
            gate,
            notices: Mutex::new(Notices {
                first: rand::random::<u32>().into(),
                texts: VecDeque::new(),
            }),
        }
    }

    /// Keeps a notice and returns its number.
    pub(crate) fn add_notice(&self, text: String) -> u64 {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.texts.push_back(text);
        if notices.texts.len() > NOTICES {
            notices.texts.pop_front();
            notices.first += 1;
        }
        notices.first + notices.texts.len() as u64 - 1
    }

    /// The notice of a number.
    pub(crate) fn notice(&self, number: &str) -> Option<String> {
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let index = number.parse::<u64>().ok()?.checked_sub(notices.first)?;
        notices.texts.get(usize::try_from(index).ok()?).cloned()
    }
}

/// All addresses. What is not below the gate, [`access::guard`] lets in only with a session.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", screen(overview::show))
        .route("/jobs", screen(jobs::show))
        .route("/jobs/{id}", screen(job::show))
        .route("/jobs/{id}/payload", screen(job::payload))
        .route("/jobs/{id}/result", screen(job::result))
        .route("/failures", screen(failures::show))
        .route("/queues/{name}", screen(queue::show))
        .route("/queues/{name}/settings", screen(queue::settings))
        .route("/schedules", screen(schedules::list))
        .route("/schedules/{name}", screen(schedules::show))
        .route("/pipelines", screen(pipelines::list))
        .route("/pipelines/{id}", screen(pipelines::show))
        .route("/operations", screen(operations::list))
        .route("/operations/{id}", screen(operations::show))
        .route("/actions/{action}/confirm", screen(action::confirm))
        .route("/actions/{action}", axum::routing::post(action::run))
        .route("/login", get(access::login_page).post(access::login))
        .route("/logout", axum::routing::post(access::logout))
        .route("/assets/{name}", get(asset))
        .fallback_service(screen(missing).with_state(app.clone()))
        .layer(middleware::from_fn_with_state(app.clone(), access::guard))
        .with_state(app)
}

async fn missing(context: Arc<Context>) -> Result<Page, Error> {
    Err(Error::NotFound(format!(
        "There is no page at {}.",
        context.path
    )))
}

/// Whoever asks: the login page needs them, too.
async fn asset(request: Request) -> Response {
    assets::find(request.uri().path()).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}
