//! `serde_json` is the oracle: our reader must return the same value for any input that it accepts.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One of each kind of value in the protocol.
#[derive(Debug, Deserialize, PartialEq)]
struct Record {
    text: String,
    number: u32,
    #[serde(default)]
    list: Vec<u16>,
    maybe: Option<bool>,
    inner: Option<Arc<Record>>,
}

object!(Record {
    text,
    number,
    list,
    maybe,
    inner
});

#[test]
fn values_are_read() {
    let one = |text: &str| Record {
        text: text.into(),
        number: 1,
        list: vec![],
        maybe: None,
        inner: None,
    };
    let cases = [
        (r#"{"text":"a","number":1}"#, one("a")),
        (" {\n\"number\" : 1 ,\t\"text\" : \"a\"\r} ", one("a")),
        (
            r#"{"text":"\"\\\/\b\f\n\r\t\u0041\u20AC\ud83d\ude00é","number":1,"unknown":[{"a":[]},1.5e-3,"]"]}"#,
            one("\"\\/\u{8}\u{c}\n\r\tA€😀é"),
        ),
        (
            r#"{"text":"","number":4294967295,"list":[0,65535],"maybe":true,"inner":{"text":"a","number":1,"maybe":null}}"#,
            Record {
                text: String::new(),
                number: u32::MAX,
                list: vec![0, 65_535],
                maybe: Some(true),
                inner: Some(Arc::new(one("a"))),
            },
        ),
    ];
    for (text, want) in cases {
        assert_eq!(from_str::<Record>(text), Ok(want), "{text}");
    }
}

#[test]
fn errors_say_what_was_expected_and_where() {
    #[rustfmt::skip] // one case per line
    let cases = [
        ("", "expected more at byte 0"),
        ("[]", "expected an object at byte 0"),
        ("{}", "missing field `text` at byte 2"),
        (r#"{"text":1}"#, "expected a string at byte 8"),
        (r#"{"text":"a" "number":1}"#, "expected a comma or the end of a list or object at byte 12"),
        (r#"{"text" "a"}"#, "expected a colon at byte 8"),
        (r#"{"text":"a",}"#, "expected a string at byte 12"),
        (r#"{"text":"a","number":-1}"#, "expected a whole number up to 4294967295 at byte 21"),
        (r#"{"text":"a","number":1.0}"#, "expected a whole number up to 4294967295 at byte 21"),
        (r#"{"text":"a","number":4294967296}"#, "expected a whole number up to 4294967295 at byte 21"),
        (r#"{"text":"a","number":1,"maybe":0}"#, "expected true or false at byte 31"),
        (r#"{"text":"a","text":"b"}"#, "expected each field once at byte 19"),
        (r#"{"text":"\ud83d"}"#, "expected a surrogate pair at byte 15"),
        (r#"{"text":"\udc00"}"#, "expected a surrogate pair at byte 15"),
        ("{\"text\":\"a\nb\"}", "expected the end of a string at byte 10"),
        (r#"{"text":"a","number":1} x"#, "expected the end at byte 24"),
    ];
    for (text, want) in cases {
        let error = from_str::<Record>(text).unwrap_err();
        assert_eq!(error.to_string(), want, "{text}");
    }
}

#[test]
fn any_depth_is_read() {
    let deep = format!("{}1{}", "[{\"a\":".repeat(100_000), "}]".repeat(100_000));
    assert_eq!(Raw::parse(&deep).unwrap().get(), deep);
    assert!(Raw::parse(&deep[..deep.len() - 1]).is_none());
}

/// What Postgres says of the same is in tests/sql/result.rs.
#[test]
fn json_that_postgres_may_not_store_is_recognized() {
    let nested = |levels: usize| {
        format!(
            "{}1{}",
            "[{\"a\":".repeat(levels / 2),
            "}]".repeat(levels / 2)
        )
    };
    let digits = |count| "9".repeat(count);
    let cases = [
        (nested(500), true),
        (nested(502), false),
        (digits(15_000), true),
        (digits(15_001), false),
        (format!("[0.{}]", digits(15_000)), false),
        ("-1.5E+999".into(), true),
        ("[1e1000]".into(), false),
        ("1e-1000".into(), false),
        (r#""\u0001\\u0000""#.into(), true),
        (r#""\u0000""#.into(), false),
        (r#"{"\u0000":1}"#.into(), false),
        (r#""\ud83d\ude00\uD83D\uDE00""#.into(), true),
        (r#""\ud83d""#.into(), false),
        (r#""\ud83d \ude00""#.into(), false),
        (r#""\ud83d\ud83d\ude00""#.into(), false),
        (r#"["\ude00\ud83d"]"#.into(), false),
        (" {} \n".into(), true),
        ("{}{}".into(), false),
    ];
    for (text, want) in cases {
        let stored = Raw::parse_storable(&text);
        let want = want.then(|| text.trim());
        assert_eq!(stored.as_ref().map(Raw::get), want, "{text:.50}");
    }
}

/// JSON with at most one character replaced: mostly near misses.
fn nearly_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.5e+10".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| serde_json::to_string(&n).unwrap()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        r#""(\\["\\/bfnrtu]|\\u[0-9a-fD]{4}|\\ud83d\\ude0[0-9]|[a-z])*""#,
        r"-?[0-9]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
    ];
    let json = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    });
    (
        json,
        prop::option::of((any::<prop::sample::Index>(), any::<char>())),
    )
        .prop_map(|(json, damage)| {
            let mut chars: Vec<char> = json.chars().collect();
            if let (Some((at, with)), false) = (damage, chars.is_empty()) {
                let at = at.index(chars.len());
                chars[at] = with;
            }
            chars.into_iter().collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_read_as_serde_json_reads_it(text in nearly_json()) {
        let theirs = serde_json::from_str::<&RawValue>(&text).ok().map(RawValue::get);
        let ours = Raw::parse(&text);
        prop_assert_eq!(ours.as_ref().map(Raw::get), theirs);
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them(text in r#""(\\["\\/bfnrtuU]|\\u[0-9a-fD]{4}|\\u[dD][89a-f]3d\\u[dD][c-f]0[0-9]|[ -~]|é)*""#) {
        prop_assert_eq!(from_str::<String>(&text).ok(), serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn whole_numbers_are_read_as_serde_json_reads_them(text in r"[0-9+-]?[0-9]{0,20}(\.0|e1)?") {
        prop_assert_eq!(from_str::<u64>(&text).ok(), serde_json::from_str::<u64>(&text).ok());
    }

    #[test]
    fn records_are_read_as_serde_json_reads_them(
        entries in prop::collection::vec((prop_oneof!["text", "number", "list", "maybe", "inner", "other"], nearly_json()), 0..6),
        text in any::<String>(), number in any::<u32>(), list in prop::collection::vec(any::<u16>(), 0..4), maybe in any::<Option<bool>>(),
    ) {
        let good = serde_json::json!({"text": text, "number": number, "list": list, "maybe": maybe});
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let mut all = serde_json::to_string(&good).unwrap();
        all.pop();
        for (key, value) in entries {
            all.push_str(&format!(",\"{key}\":{value}"));
        }
        all.push('}');
        prop_assert_eq!(from_str::<Record>(&all).ok(), serde_json::from_str::<Record>(&all).ok());
    }
}
