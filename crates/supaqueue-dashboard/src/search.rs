//! The search words of the page Jobs, and the filter that they stand for.
//!
//! A filter is the `jsonb` object that `supaqueue.list_jobs`, `preview` and `operation` take. As text it is a list of
//! words, such as `queue:emails status:failed`: [`Filter::parse`] reads it, [`Filter::words`] writes it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A search word, as the page and its documentation list it.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
}

/// Every search word, in the order in which [`Filter::words`] writes them.
pub(crate) const WORDS: [Word; 12] = [
    word("queue", "queue:emails", "the queue's name"),
    word(
        "status",
        "status:failed",
        "pending, waiting, in_progress, successful, failed or cancelled",
    ),
    word("key", "key:order-1", "the job's key"),
    word("tenant", "tenant:acme", "the job's tenant"),
    word("http", "http:500", "the HTTP status of the last call"),
    word(
        "group",
        "group:\"404 no such user\"",
        "the error group, as on the page Failures",
    ),
    word(
        "payload",
        "payload:{\"user\":1}",
        "JSON that the payload contains",
    ),
    word("id", "id:0199…", "a job's id, also without id:"),
    word(
        "created-after",
        "created-after:2026-11-01",
        "inserted at this time or later",
    ),
    word(
        "created-before",
        "created-before:2026-11-02T08:30",
        "inserted before this time",
    ),
    word("after", "after:2026-11-01", "ended at this time or later"),
    word(
        "before",
        "before:2026-11-02T08:30+01:00",
        "ended before this time",
    ),
];

const fn word(name: &'static str, example: &'static str, meaning: &'static str) -> Word {
    Word {
        name,
        example,
        meaning,
    }
}

/// Every status of a job.
pub(crate) const STATUSES: [&str; 6] = [
    "pending",
    "waiting",
    "in_progress",
    "successful",
    "failed",
    "cancelled",
];

/// Which jobs are meant. Fields that are empty do not restrict; the default is every job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) queue: Vec<String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) status: Vec<String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) key: Vec<String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) tenant: Vec<String>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) http_status: Vec<i32>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub(crate) error_group: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Box<RawValue>>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many"
    )]
    pub(crate) ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_before: Option<String>,
}

fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    value: D,
) -> Result<Vec<T>, D::Error> {
    let value: &RawValue = Deserialize::deserialize(value)?;
    serde_json::from_str(value.get())
        .or_else(|_| serde_json::from_str(value.get()).map(|one| vec![one]))
        .map_err(serde::de::Error::custom)
}

fn as_one_or_many<S: Serializer, T: Serialize>(
    values: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match values {
        [one] => one.serialize(serializer),
        values => values.serialize(serializer),
    }
}

impl Filter {
    /// Reads search words; the error is a sentence for the person who typed them.
    ///
    /// A repeated word widens the search (`status:failed status:cancelled`), except a time or a payload, which would
    /// contradict itself. A value with spaces is quoted as a JSON string.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| c == ':' || c.is_whitespace())
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix(':') else {
                filter.ids.push(uuid(name).ok_or_else(|| not_a_word(name))?);
                rest = after.trim_start();
                continue;
            };
            let (value, after) = if name == "payload" {
                json::<&RawValue>(value, name)
                    .map(|(json, after)| (json.get().to_owned(), after))?
            } else if value.starts_with('"') {
                json::<String>(value, name)?
            } else {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            };
            if after.starts_with(|c: char| !c.is_whitespace()) {
                return Err(format!(
                    "Something follows the value of {name}: without a space: {}",
                    cut(after)
                ));
            }
            filter.add(name, value)?;
            rest = after.trim_start();
        }
        Ok(filter)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), String> {
        if !WORDS.iter().any(|word| word.name == name) {
            return Err(not_a_word(&format!("{name}:")));
        }
        if value.is_empty() {
            return Err(format!(
                "{name}: has no value. Write it without a space in between: {}",
                example(name)
            ));
        }
        if value.contains('\0') {
            return Err(format!(
                "{name}: cannot search for U+0000, which Postgres cannot store."
            ));
        }
        match name {
            "queue" => self.queue.push(value),
            "status" if STATUSES.contains(&value.as_str()) => self.status.push(value),
            "status" => {
                return Err(format!(
                    "No job has the status {}. Statuses are {}.",
                    cut(&value),
                    STATUSES.join(", ")
                ));
            }
            "key" => self.key.push(value),
            "tenant" => self.tenant.push(value),
            "http" => {
                let status = value.parse().map_err(|_| {
                    format!("{} is not an HTTP status. Example: http:500", cut(&value))
                })?;
                self.http_status.push(status);
            }
            "group" => self.error_group.push(value),
            "id" => self.ids.push(uuid(&value).ok_or_else(|| {
                format!(
                    "{} is not a job's id, which is a UUID of 36 characters.",
                    cut(&value)
                )
            })?),
            "payload" => {
                let json = RawValue::from_string(value)
                    .map_err(|error| format!("payload: is not JSON: {error}"))?;
                once(&mut self.payload, json, name)?;
            }
            "created-after" => once(&mut self.created_after, time(&value, name)?, name)?,
            "created-before" => once(&mut self.created_before, time(&value, name)?, name)?,
            "after" => once(&mut self.finished_after, time(&value, name)?, name)?,
            _ => once(&mut self.finished_before, time(&value, name)?, name)?,
        }
        Ok(())
    }

    /// Reads a filter as the database stores it. None: it has fields that this program does not know.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The filter as the database takes it.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The search words for the filter: [`Filter::parse`] makes the same filter of them.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        let mut add = |name: &str, value: &str| words.push(format!("{name}:{value}"));
        self.queue
            .iter()
            .for_each(|value| add("queue", &quoted(value)));
        self.status
            .iter()
            .for_each(|value| add("status", &quoted(value)));
        self.key.iter().for_each(|value| add("key", &quoted(value)));
        self.tenant
            .iter()
            .for_each(|value| add("tenant", &quoted(value)));
        self.http_status
            .iter()
            .for_each(|value| add("http", &value.to_string()));
        self.error_group
            .iter()
            .for_each(|value| add("group", &quoted(value)));
        self.payload
            .iter()
            .for_each(|value| add("payload", value.get()));
        self.ids.iter().for_each(|value| add("id", &quoted(value)));
        for (name, time) in [
            ("created-after", &self.created_after),
            ("created-before", &self.created_before),
            ("after", &self.finished_after),
            ("before", &self.finished_before),
        ] {
            time.iter().for_each(|value| {
                add(
                    name,
                    &quoted(value.strip_suffix("T00:00:00Z").unwrap_or(value)),
                )
            });
        }
        words.join(" ")
    }

    /// Whether it is the filter of every job.
    pub(crate) fn is_empty(&self) -> bool {
        self.json() == "{}"
    }
}

/// The first JSON value of a text, and what follows it.
fn json<'a, T: Deserialize<'a>>(text: &'a str, name: &str) -> Result<(T, &'a str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    match values.next() {
        Some(Ok(value)) => Ok((value, &text[values.byte_offset()..])),
        Some(Err(error)) => Err(format!(
            "The value of {name}: is not JSON: {error}. Example: {}",
            example(name)
        )),
        None => Err(format!("{name}: has no value. Example: {}", example(name))),
    }
}

fn once<T>(field: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name}: can be given once.")),
    }
}

fn example(name: &str) -> &'static str {
    WORDS
        .iter()
        .find(|word| word.name == name)
        .map_or("", |word| word.example)
}

fn not_a_word(found: &str) -> String {
    let names: Vec<_> = WORDS.iter().map(|word| format!("{}:", word.name)).collect();
    format!(
        "{} is not a search word. Search words are {}, and a job's id.",
        cut(found),
        names.join(", ")
    )
}

/// A text in quotation marks, short enough for a message.
fn cut(text: &str) -> String {
    let mut start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("\"{start}\"")
}

/// The id in its canonical form.
pub(crate) fn uuid(text: &str) -> Option<String> {
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    is_uuid.then(|| text.to_ascii_lowercase())
}

/// A date or a time, in UTC unless it has an offset.
fn time(text: &str, name: &str) -> Result<String, String> {
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| {
            Some(
                text.parse::<DateTime>()
                    .ok()?
                    .to_zoned(TimeZone::UTC)
                    .ok()?
                    .timestamp(),
            )
        })
        .map(|time| time.to_string())
        .ok_or_else(|| {
            format!(
                "{} is not a time. Write a date or a time in UTC, or one with an offset: {}",
                cut(text),
                example(name)
            )
        })
}

/// A value as a word has it: a JSON string if it would end early, or if it has characters that nobody sees or that a
/// text field drops.
fn quoted(value: &str) -> String {
    let is_plain = !value.is_empty()
        && !value.starts_with('"')
        && !value.contains(|c: char| c.is_whitespace() || is_invisible(c));
    if is_plain {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if is_invisible(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Control characters, and those that change the direction of text or have no width. All have four hexadecimal digits.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "0199c0de-0000-7000-8000-00000000abcd";

    fn check(text: &str, json: &str) {
        assert_eq!(Filter::parse(text).unwrap().json(), json, "{text}");
    }

    #[test]
    fn words_become_a_filter() {
        check("", "{}");
        check("  \u{a0} ", "{}");
        check("queue:emails", r#"{"queue":"emails"}"#);
        check(
            "status:failed  status:cancelled",
            r#"{"status":["failed","cancelled"]}"#,
        );
        check(
            "http:500 key:order:1",
            r#"{"key":"order:1","http_status":500}"#,
        );
        check(
            r#"group:"404 no \"such\" user" queue:q"#,
            r#"{"queue":"q","error_group":"404 no \"such\" user"}"#,
        );
        check(ID, &format!(r#"{{"ids":["{ID}"]}}"#));
        check(
            &format!("id:{}", ID.to_uppercase()),
            &format!(r#"{{"ids":["{ID}"]}}"#),
        );
        check(
            "after:2026-11-01",
            r#"{"finished_after":"2026-11-01T00:00:00Z"}"#,
        );
        check(
            "before:2026-11-02T08:30",
            r#"{"finished_before":"2026-11-02T08:30:00Z"}"#,
        );
        check(
            "created-after:2026-11-02T08:30:15.5+01:00",
            r#"{"created_after":"2026-11-02T07:30:15.5Z"}"#,
        );
        check(
            "created-before:\"2026-11-02 08:30\"",
            r#"{"created_before":"2026-11-02T08:30:00Z"}"#,
        );
    }

    #[test]
    fn every_word_has_an_example_that_can_be_read_and_is_documented() {
        let documentation = include_str!("../../../docs/operations.md");
        for Word { name, example, .. } in &WORDS {
            let is_read = Filter::parse(example).is_ok() || *name == "id";
            assert!(
                is_read && example.starts_with(&format!("{name}:")),
                "{example}"
            );
            assert!(
                documentation.contains(&format!("`{name}:")),
                "docs/operations.md does not have {name}:"
            );
        }
    }

    #[test]
    fn a_payload_keeps_its_spaces_and_every_digit() {
        check(
            r#"payload:{"a b": [1.00000000000000000000001, "}"]} queue:q"#,
            r#"{"queue":"q","payload":{"a b": [1.00000000000000000000001, "}"]}}"#,
        );
        check("payload:1", r#"{"payload":1}"#);
        check(r#"payload:"text""#, r#"{"payload":"text"}"#);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        for (text, want) in [
            (
                "emails",
                "\"emails\" is not a search word. Search words are queue:, status:",
            ),
            ("owner:a", "\"owner:\" is not a search word"),
            (
                "queue: emails",
                "queue: has no value. Write it without a space in between: queue:emails",
            ),
            ("queue:\"\"", "queue: has no value"),
            (
                "status:done",
                "No job has the status \"done\". Statuses are pending, waiting",
            ),
            ("http:5xx", "\"5xx\" is not an HTTP status"),
            ("id:7", "\"7\" is not a job's id"),
            ("after:yesterday", "\"yesterday\" is not a time"),
            ("after:2026-02-30", "\"2026-02-30\" is not a time"),
            (
                "after:2026-11-01 after:2026-11-02",
                "after: can be given once",
            ),
            ("payload:{\"a\":", "The value of payload: is not JSON"),
            ("payload:", "payload: has no value"),
            (
                "payload:{}{}",
                "Something follows the value of payload: without a space: \"{}\"",
            ),
            ("key:\"a\"b", "Something follows the value of key:"),
            ("key:\"a", "The value of key: is not JSON"),
            ("key:\"a\\u0000\"", "key: cannot search for U+0000"),
            (":x", "\":\" is not a search word"),
        ] {
            let refusal = Filter::parse(text).unwrap_err();
            assert!(refusal.starts_with(want), "{text}: {refusal}");
        }
        let long = "x".repeat(100_000);
        assert!(
            Filter::parse(&long).unwrap_err().len() < 400,
            "a long word is cut"
        );
        let deep = format!("payload:{}", "[".repeat(100_000));
        assert!(Filter::parse(&deep).is_err(), "a deep payload is refused");
    }

    #[test]
    fn words_are_read_back_as_the_same_filter() {
        for text in [
            "",
            "queue:a queue:\"b c\" status:failed key:\"\\\"\" tenant:t http:500 http:404",
            "group:\"a\\nb\\u202ec\\\\\\t\\u0007\" payload:{\"a\": 1.0} after:2026-11-01 before:2026-11-02T08:30:00Z",
            "id:0199c0de-0000-7000-8000-00000000abcd created-after:2026-11-01 created-before:2026-11-01T00:00:01Z",
        ] {
            assert_eq!(Filter::parse(text).unwrap().words(), text);
        }
        let hostile: String = ('\u{1}'..='\u{3000}').chain(['\u{feff}', '🙂']).collect();
        let filter = Filter {
            key: vec![hostile, "\"".into(), " ".into()],
            ..Filter::default()
        };
        let words = filter.words();
        assert!(
            !words.contains(|c: char| is_invisible(c)),
            "nothing invisible is left"
        );
        assert_eq!(Filter::parse(&words).unwrap().key, filter.key);
    }

    #[test]
    fn a_filter_of_the_database_becomes_words() {
        for (json, want) in [
            ("{}", Some("")),
            (
                r#"{"queue": "a", "status": ["failed"], "http_status": 500}"#,
                Some("queue:a status:failed http:500"),
            ),
            (
                r#"{"payload": {"a": 1.000}}"#,
                Some(r#"payload:{"a": 1.000}"#),
            ),
            (
                r#"{"finished_after": "2026-11-01T00:00:00Z"}"#,
                Some("after:2026-11-01"),
            ),
            (r#"{"owner": "a"}"#, None),
        ] {
            assert_eq!(
                Filter::from_json(json)
                    .map(|filter| filter.words())
                    .as_deref(),
                want,
                "{json}"
            );
        }
    }
}
