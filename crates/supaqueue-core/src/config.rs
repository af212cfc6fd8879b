//! The function's settings, read from its environment.
//!
//! An error names the variable and what it should be, never its value.

use core::fmt;

use crate::json::{self, FromJson, Reader};
use crate::log::{Entry, Level};
use crate::protocol::Auth;
use crate::signature::Keys;

/// The settings.
#[derive(Clone)]
pub struct Settings {
    /// `SUPAQUEUE_SECRET`
    pub keys: Keys,
    /// `SUPABASE_URL`, without a trailing slash.
    pub url: String,
    /// The key for `end_current_job`, and for targets unless their queue says otherwise.
    pub service_role: ProjectKey,
    /// The key for targets whose queue has `auth` `anon`.
    pub anon: ProjectKey,
    /// `SUPAQUEUE_TIME_BUDGET_MS`: how long the isolate may work, from its start.
    pub time_budget_ms: u64,
    /// `SUPAQUEUE_JOBS_PER_RUN`: how many jobs a run takes besides those of its dispatch.
    pub jobs_per_run: u32,
    /// `SUPAQUEUE_REQUEST_LIMIT_BYTES`: the size limit of a dispatch.
    pub request_limit: usize,
    /// `SUPAQUEUE_RESULT_LIMIT_BYTES`: how much of a target's response is read.
    pub result_limit: usize,
    /// `SUPAQUEUE_LOG_LEVEL`: the least severe level that is logged.
    pub level: Level,
}

/// One of the project's keys, in either or both of its forms.
#[derive(Clone, Default)]
pub struct ProjectKey {
    /// The legacy JWT, sent as a bearer token.
    pub jwt: Option<String>,
    /// The `sb_…` key, sent as `apikey`: gateways reject it as a bearer token.
    pub sb: Option<String>,
}

impl Settings {
    /// Whether a line is severe enough to be logged.
    #[must_use]
    pub fn logs(&self, entry: &Entry) -> bool {
        entry.level <= self.level
    }

    /// The key for calls with this `auth`.
    pub(crate) fn project_key(&self, auth: Auth) -> Option<&ProjectKey> {
        match auth {
            Auth::ServiceRole => Some(&self.service_role),
            Auth::Anon => Some(&self.anon),
            Auth::None | Auth::Unknown => None,
        }
    }
}

impl ProjectKey {
    /// Whether it has either form.
    pub(crate) fn is_set(&self) -> bool {
        self.jwt.is_some() || self.sb.is_some()
    }

    fn read(env: &Env<'_>, legacy: &'static str, keys: &'static str) -> Result<Self, ConfigError> {
        let mut key = Self::default();
        // Before the new form had a variable of its own, it was put into the legacy one.
        match env(legacy).filter(|value| !value.is_empty()) {
            Some(value) if value.starts_with("sb_") => key.sb = Some(value),
            jwt => key.jwt = jwt,
        }
        if let Some(text) = env(keys).filter(|value| !value.is_empty()) {
            let DefaultKey(sb) = json::from_str(&text).map_err(|_| ConfigError {
                variable: keys,
                problem: "is not a JSON object of strings",
            })?;
            key.sb = sb.or(key.sb);
        }
        let is_header = |value: &String| value.bytes().all(|b| b.is_ascii_graphic());
        if !key.jwt.iter().chain(&key.sb).all(is_header) {
            return Err(ConfigError {
                variable: legacy,
                problem: "holds characters that no key has",
            });
        }
        Ok(key)
    }
}

/// What is wrong with the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable to set.
    pub variable: &'static str,
    problem: &'static str,
}

impl core::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.problem)
    }
}

/// Looks up a variable.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads the settings.
///
/// # Errors
/// The first variable that is missing or malformed.
pub fn settings(env: &Env<'_>) -> Result<Settings, ConfigError> {
    let missing = |variable| ConfigError {
        variable,
        problem: "is not set",
    };
    let secret = env("SUPAQUEUE_SECRET").filter(|value| !value.trim().is_empty());
    let keys = Keys::parse(&secret.ok_or(missing("SUPAQUEUE_SECRET"))?).ok_or(ConfigError {
        variable: "SUPAQUEUE_SECRET",
        problem: "is not of the form whsec_<base64 of 24 to 64 bytes>, once or several times",
    })?;
    let url = env("SUPABASE_URL")
        .filter(|value| !value.is_empty())
        .ok_or(missing("SUPABASE_URL"))?;
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return Err(ConfigError {
            variable: "SUPABASE_URL",
            problem: "is not an http or https address",
        });
    }
    let service_role = ProjectKey::read(env, "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEYS")?;
    if !service_role.is_set() {
        return Err(ConfigError {
            variable: "SUPABASE_SERVICE_ROLE_KEY",
            problem: "is not set, nor is SUPABASE_SECRET_KEYS",
        });
    }
    Ok(Settings {
        keys,
        url: url.trim_end_matches('/').to_owned(),
        service_role,
        anon: ProjectKey::read(env, "SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEYS")?,
        time_budget_ms: number(env, "SUPAQUEUE_TIME_BUDGET_MS", 140_000)?.into(),
        jobs_per_run: number(env, "SUPAQUEUE_JOBS_PER_RUN", 2000)?,
        request_limit: number(env, "SUPAQUEUE_REQUEST_LIMIT_BYTES", 6_000_000)? as usize,
        result_limit: number(env, "SUPAQUEUE_RESULT_LIMIT_BYTES", 262_144)? as usize,
        level: level(env)?,
    })
}

fn number(env: &Env<'_>, variable: &'static str, default: u32) -> Result<u32, ConfigError> {
    let problem = "is not a whole number from 0 to 4294967295";
    match env(variable) {
        Some(value) if !value.trim().is_empty() => value
            .trim()
            .parse()
            .map_err(|_| ConfigError { variable, problem }),
        _ => Ok(default),
    }
}

fn level(env: &Env<'_>) -> Result<Level, ConfigError> {
    let variable = "SUPAQUEUE_LOG_LEVEL";
    match env(variable) {
        Some(value) if !value.trim().is_empty() => Level::parse(value.trim()).ok_or(ConfigError {
            variable,
            problem: "is not error, warn, info or debug",
        }),
        _ => Ok(Level::Info),
    }
}

/// The key named `default` in a JSON object of keys, or the first one without it.
struct DefaultKey(Option<String>);

impl FromJson<'_> for DefaultKey {
    fn read(reader: &mut Reader<'_>) -> Result<Self, json::Error> {
        let mut found = None;
        reader.object(&mut |name, reader| {
            if name != "default" && found.is_some() {
                return reader.skip();
            }
            found = Some(String::read(reader)?);
            Ok(())
        })?;
        Ok(Self(found))
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(crate) mod tests;
