use super::*;

pub(crate) const SECRET: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";

/// Reads the environment of a project, with these changes.
pub(crate) fn read(changes: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let valid = [
        ("SUPAQUEUE_SECRET", SECRET),
        ("SUPABASE_URL", "https://ref.supabase.co"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service.jwt"),
        ("SUPABASE_ANON_KEY", "anon.jwt"),
    ];
    settings(&|name| {
        let find = |list: &[(&str, &str)]| {
            list.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        find(changes).or_else(|| find(&valid))
    })
}

/// The settings of a project, if these changes are valid.
pub(crate) fn project(changes: &[(&str, &str)]) -> Settings {
    read(changes).ok().unwrap()
}

#[test]
fn defaults_fit_the_free_plan() {
    let settings = project(&[]);
    assert_eq!(settings.url, "https://ref.supabase.co");
    assert_eq!(
        (settings.time_budget_ms, settings.jobs_per_run),
        (140_000, 2000)
    );
    assert_eq!(
        (settings.request_limit, settings.result_limit),
        (6_000_000, 262_144)
    );
    assert_eq!(settings.level, Level::Info);
}

#[test]
fn variables_override_defaults() {
    let settings = project(&[
        ("SUPABASE_URL", "http://127.0.0.1:54321/"),
        ("SUPAQUEUE_TIME_BUDGET_MS", " 380000 "),
        ("SUPAQUEUE_JOBS_PER_RUN", "0"),
        ("SUPAQUEUE_REQUEST_LIMIT_BYTES", ""),
        ("SUPAQUEUE_RESULT_LIMIT_BYTES", "10"),
        ("SUPAQUEUE_LOG_LEVEL", "debug"),
    ]);
    assert_eq!(settings.url, "http://127.0.0.1:54321", "no trailing slash");
    assert_eq!(
        (settings.time_budget_ms, settings.jobs_per_run),
        (380_000, 0)
    );
    assert_eq!(
        (settings.request_limit, settings.result_limit),
        (6_000_000, 10),
        "an empty variable is not set"
    );
    assert_eq!(settings.level, Level::Debug);
}

#[test]
fn an_error_names_the_variable_and_never_its_value() {
    let value = "hidden value";
    let form = "is not of the form whsec_<base64 of 24 to 64 bytes>, once or several times";
    let number = "is not a whole number from 0 to 4294967295";
    #[rustfmt::skip] // one case per line
    let cases = [
        ("SUPAQUEUE_SECRET", "", "is not set"),
        ("SUPAQUEUE_SECRET", value, form),
        ("SUPABASE_URL", "", "is not set"),
        ("SUPABASE_URL", value, "is not an http or https address"),
        ("SUPABASE_SERVICE_ROLE_KEY", "", "is not set, nor is SUPABASE_SECRET_KEYS"),
        ("SUPABASE_SERVICE_ROLE_KEY", value, "holds characters that no key has"),
        ("SUPABASE_SECRET_KEYS", value, "is not a JSON object of strings"),
        ("SUPAQUEUE_TIME_BUDGET_MS", value, number),
        ("SUPAQUEUE_JOBS_PER_RUN", "-1", number),
        ("SUPAQUEUE_LOG_LEVEL", value, "is not error, warn, info or debug"),
    ];
    for (name, text, want) in cases {
        let message = read(&[(name, text)]).err().unwrap().to_string();
        assert_eq!(message, format!("{name} {want}"));
        assert!(!message.contains(value), "{message}");
    }
}

#[test]
fn both_forms_of_keys_are_read() {
    let one = r#"{"default":"sb_secret_1"}"#;
    let named = r#"{"other":"sb_secret_2","default":"sb_secret_1","third":"x"}"#;
    let others = r#"{"other":"sb_secret_2","third":"x"}"#;
    #[rustfmt::skip] // one case per line
    let cases = [
        ("jwt", "", (Some("jwt"), None)),
        ("", one, (None, Some("sb_secret_1"))),
        ("jwt", one, (Some("jwt"), Some("sb_secret_1"))),
        ("sb_secret_0", "", (None, Some("sb_secret_0"))),
        ("sb_secret_0", one, (None, Some("sb_secret_1"))),
        ("", named, (None, Some("sb_secret_1"))),
        ("", others, (None, Some("sb_secret_2"))),
    ];
    for (legacy, keys, want) in cases {
        let settings = project(&[
            ("SUPABASE_SERVICE_ROLE_KEY", legacy),
            ("SUPABASE_SECRET_KEYS", keys),
        ]);
        let key = settings.project_key(Auth::ServiceRole).unwrap();
        let got = (key.jwt.as_deref(), key.sb.as_deref());
        assert_eq!(got, want, "{legacy} {keys}");
    }
    let settings = project(&[
        ("SUPABASE_ANON_KEY", ""),
        ("SUPABASE_PUBLISHABLE_KEYS", "{}"),
    ]);
    assert!(
        !settings.anon.is_set(),
        "a project without an anonymous key is not misconfigured"
    );
    assert!(settings.project_key(Auth::None).is_none());
}
