//! Who gets in: checks of each request, and sessions.
//!
//! Other web pages, also of other servers on this machine, must neither read nor act. So: the host must be one of
//! ours (a name that an attacker points here is not), what is not a GET must come from our own origin and say so, and
//! the session's cookie is not sent by other sites. There is no token in forms: it would tell a form of ours from one
//! of another origin, which `Origin` does already; a request that has none is refused, and browsers send it with each POST.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::fields::Fields;
use crate::{Access, Error, MIN_PASSWORD, layout};

/// How long a session is kept that is not used.
const SESSION_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Sessions at most; the one that was used longest ago makes room.
const SESSIONS: usize = 1000;

/// Attempts to log in that are allowed at once, and how long it takes to get one back. For all clients together:
/// behind a proxy they have one address.
const ATTEMPTS: u32 = 10;
const ATTEMPT_EVERY: Duration = Duration::from_secs(6);

/// The size of a form.
const FORM_LIMIT: usize = 1 << 20;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a secret is compared and looked up by, so that no comparison depends on the secret.
type Hash = [u8; 32];

/// Decides who gets in.
pub(crate) struct Gate {
    hosts: Vec<String>,
    key: Key,
    /// Differs from that of another dashboard on this machine: cookies do not know ports.
    cookie: String,
    sessions: Mutex<HashMap<Hash, Instant>>,
    attempts: Mutex<Attempts>,
}

enum Key {
    Token(Hash),
    Password(Hash),
}

struct Attempts {
    left: u32,
    since: Instant,
}

impl Gate {
    /// The gate of a dashboard that listens on an address, and the link to open.
    pub(crate) fn new(access: Access, address: SocketAddr) -> Result<(Self, String), Error> {
        let (key, hosts, link) = match access {
            Access::Token { .. } => {
                let token = secret();
                let hosts = vec![address.to_string(), format!("localhost:{}", address.port())];
                let link = format!("http://{address}/?token={token}");
                (Key::Token(hash(&token)), hosts, link)
            }
            Access::Password { password, .. } if password.chars().count() < MIN_PASSWORD => {
                return Err(Error::ShortPassword);
            }
            Access::Password { hosts, .. } if hosts.is_empty() && address.ip().is_unspecified() => {
                return Err(Error::NoHost(address));
            }
            Access::Password {
                mut hosts,
                password,
                ..
            } => {
                if !address.ip().is_unspecified() {
                    hosts.push(address.to_string());
                }
                (
                    Key::Password(hash(&password)),
                    hosts,
                    format!("http://{address}/"),
                )
            }
        };
        let gate = Self {
            hosts: hosts
                .iter()
                .map(|host| without_default_port(host))
                .collect(),
            key,
            cookie: format!("supaqueue_dashboard_{}", address.port()),
            sessions: Mutex::default(),
            attempts: Mutex::new(Attempts {
                left: ATTEMPTS,
                since: Instant::now(),
            }),
        };
        Ok((gate, link))
    }

    pub(crate) fn has_password(&self) -> bool {
        matches!(self.key, Key::Password(_))
    }

    /// Whether a host is one of ours: otherwise a name that points to this machine would do (DNS rebinding).
    fn knows(&self, host: &str) -> bool {
        self.hosts.contains(&without_default_port(host))
    }

    /// Whether a POST comes from one of our own pages.
    fn is_own(&self, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_same_site = text(&HeaderName::from_static("sec-fetch-site"))
            .is_none_or(|site| site == "same-origin");
        let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://"));
        let (Some((scheme, origin)), Some(host)) = (origin, text(&HOST)) else {
            return false;
        };
        // Behind a proxy with TLS the origin is https.
        let is_scheme = scheme == "http" || scheme == "https" && self.has_password();
        is_same_site && is_scheme && without_default_port(origin) == without_default_port(host)
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let Some(session) = self.session(headers) else {
            return false;
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(used) = sessions.get_mut(&session) else {
            return false;
        };
        if used.elapsed() > SESSION_LIMIT {
            sessions.remove(&session);
            return false;
        }
        *used = Instant::now();
        true
    }

    fn session(&self, headers: &HeaderMap) -> Option<Hash> {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split("; "))
            .filter_map(|cookie| cookie.split_once('='))
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| hash(value))
    }

    /// Begins a session and returns the cookie for it.
    fn begin(&self, is_secure: bool) -> String {
        let session = secret();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, used)| **used);
            if let Some(oldest) = oldest.map(|(session, _)| *session) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(hash(&session), Instant::now());
        let secure = if is_secure { "; Secure" } else { "" };
        format!(
            "{}={session}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.cookie
        )
    }

    fn is_token(&self, token: &str) -> bool {
        matches!(&self.key, Key::Token(want) if hash(token).ct_eq(want).into())
    }

    /// Whether a password is right, or `None` after too many attempts.
    fn is_password(&self, password: &str) -> Option<bool> {
        let Key::Password(want) = &self.key else {
            return Some(false);
        };
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        while attempts.left < ATTEMPTS && attempts.since.elapsed() >= ATTEMPT_EVERY {
            attempts.left += 1;
            attempts.since += ATTEMPT_EVERY;
        }
        if attempts.left == 0 {
            return None;
        }
        let is_right: bool = hash(password).ct_eq(want).into();
        if !is_right {
            if attempts.left == ATTEMPTS {
                attempts.since = Instant::now();
            }
            attempts.left -= 1;
        }
        Some(is_right)
    }
}

/// 256 random bits in hexadecimal.
fn secret() -> String {
    rand::random::<[u8; 32]>()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret).into()
}

fn without_default_port(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix(":80").or(host.strip_suffix(":443"));
    name.unwrap_or(&host).to_owned()
}

/// Checks each request before anything else sees it, and sets the headers of each answer.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match refuse(&app.gate, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer`, browsers would send `Origin: null` with our own forms. To other sites, this sends nothing either.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refuse(gate: &Gate, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| gate.knows(host)) {
        return Some(refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "Wrong address",
            html! {
                p { "This dashboard does not answer under this host name." }
                @match gate.has_password() {
                    true => p { "Start it with " code { "--host NAME" } " for each name by which browsers reach it." },
                    false => p { "Use the link that it has printed." },
                }
            },
        ));
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST if gate.is_own(headers) => {}
        Method::POST => {
            return Some(refusal(
                StatusCode::FORBIDDEN,
                "Refused",
                html! { p { "This request does not come from a page of this dashboard. Nothing was done." } },
            ));
        }
        _ => return Some(StatusCode::METHOD_NOT_ALLOWED.into_response()),
    }
    let path = request.uri().path();
    if path.starts_with("/assets/") || gate.has_session(headers) {
        return token_of(request).map(|_| to_place(request, None));
    }
    match &gate.key {
        Key::Password(_) if path == "/login" => None,
        Key::Password(_) => Some(redirect("/login")),
        Key::Token(_) if token_of(request).is_some_and(|token| gate.is_token(&token)) => {
            Some(to_place(request, Some(gate.begin(false))))
        }
        Key::Token(_) => Some(refusal(
            StatusCode::UNAUTHORIZED,
            "No access",
            html! {
                p { "Open the link that the program has printed: it contains the token." }
                // A browser that came from another site's page does not send the new cookie with the redirect.
                p { "If you have just done that, " a href=(path) { "continue" } "." }
                p.muted { "The token is new each time the program starts." }
            },
        )),
    }
}

fn token_of(request: &Request) -> Option<String> {
    let query = Fields::parse(request.uri().query()?).ok()?;
    Some(query.get("token")?.to_owned())
}

/// Removes the token from the address.
fn to_place(request: &Request, cookie: Option<String>) -> Response {
    let query = Fields::parse(request.uri().query().unwrap_or_default()).unwrap_or_default();
    let mut response = redirect(&query.with("token", None).link(local(request.uri().path())));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// A path that cannot be taken for the address of another host, as `//example.com` is.
fn local(path: &str) -> &str {
    match path.starts_with("//") {
        true => "/",
        false => path,
    }
}

fn redirect(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to.to_owned())]).into_response()
}

fn refusal(status: StatusCode, title: &str, body: Markup) -> Response {
    let page = layout::bare(title, html! { h1 { (title) } (body) });
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, html, page.into_string()).into_response()
}

/// The form for the password.
pub(crate) async fn login_page(State(app): State<Arc<App>>) -> Response {
    login_form(&app, StatusCode::OK, None)
}

fn login_form(app: &App, status: StatusCode, error: Option<&str>) -> Response {
    if !app.gate.has_password() {
        return redirect("/");
    }
    refusal(
        status,
        "Log in",
        html! {
            form method="post" action="/login" {
                @if let Some(error) = error { p.error role="alert" { (error) } }
                label for="password" { "Password" }
                input #password type="password" name="password" required autofocus autocomplete="current-password";
                button.primary { "Log in" }
            }
        },
    )
}

/// Begins a session with the password.
pub(crate) async fn login(State(app): State<Arc<App>>, request: Request) -> Response {
    let origin = request.headers().get(ORIGIN);
    let is_secure = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    let Ok(fields) = form(request).await else {
        return login_form(
            &app,
            StatusCode::BAD_REQUEST,
            Some("The form is not complete."),
        );
    };
    match app
        .gate
        .is_password(fields.get("password").unwrap_or_default())
    {
        Some(true) => {
            let cookie = app.gate.begin(is_secure);
            (
                StatusCode::SEE_OTHER,
                [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)],
            )
                .into_response()
        }
        Some(false) => login_form(
            &app,
            StatusCode::FORBIDDEN,
            Some("This is not the password."),
        ),
        None => {
            let text = "There were too many attempts. Try again in some seconds.";
            let mut response = login_form(&app, StatusCode::TOO_MANY_REQUESTS, Some(text));
            response
                .headers_mut()
                .insert(RETRY_AFTER, ATTEMPT_EVERY.as_secs().into());
            response
        }
    }
}

/// Ends the session.
pub(crate) async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Some(session) = app.gate.session(&headers) {
        let mut sessions = app
            .gate
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session);
    }
    redirect("/login")
}

/// The fields of a form that was posted.
pub(crate) async fn form(request: Request) -> Result<Fields, crate::error::Error> {
    let invalid = || crate::error::Error::Invalid("The form is not complete, or too long.".into());
    let body = to_bytes(request.into_body(), FORM_LIMIT)
        .await
        .map_err(|_| invalid())?;
    Fields::parse(std::str::from_utf8(&body).map_err(|_| invalid())?)
}
