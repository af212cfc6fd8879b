use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

/// An error response in PostgREST's format.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(super) status: u16,
    code: String,
    message: String,
    pub(super) details: Option<Value>,
    pub(super) hint: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: None,
            hint: None,
        }
    }

    pub(super) fn from_postgres(error: &tokio_postgres::Error, claims: &Value) -> Self {
        let Some(db) = error.as_db_error() else {
            let mut api_error = Self::new(
                503,
                "PGRST001",
                "Database client error. Retrying the connection.",
            );
            api_error.details = Some(crate::error::describe(error).into());
            return api_error;
        };
        let is_anonymous = claims["role"].as_str().is_none_or(|role| role == "anon");
        let status = match status(db.code().code()) {
            403 if is_anonymous && *db.code() == SqlState::INSUFFICIENT_PRIVILEGE => 401,
            status => status,
        };
        Self {
            status,
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            details: db.detail().map(Into::into),
            hint: db.hint().map(Into::into),
        }
    }
}

/// The HTTP status of a Postgres error, as documented in PostgREST's "Errors".
fn status(code: &str) -> u16 {
    match code {
        "23503" | "23505" => 409,
        "25006" => 405,
        "42883" | "42P01" => 404,
        "42P17" => 500,
        "42501" => 403,
        "P0001" => 400,
        "57P01" => 503,
        // `raise sqlstate 'PT402'` sets the status.
        _ if code.starts_with("PT") => code[2..].parse().unwrap_or(500),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" => 503,
            "0L" | "0P" | "28" => 403,
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0"
            | "HV" | "P0" | "XX" => 500,
            _ => 400,
        },
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "hint": self.hint,
        });
        (
            status,
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            body.to_string(),
        )
            .into_response()
    }
}
