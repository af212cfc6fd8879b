//! The fuzzer's corpus, and random requests, without the fuzzer.

#[path = "../../dev/fuzz/src/request.rs"]
mod request;

use std::path::Path;

use proptest::prelude::*;

#[test]
fn the_corpus_is_handled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/fuzz/corpus/inbound");
    let (mut count, mut called) = (0, 0);
    let files = std::fs::read_dir(folder);
    for entry in files.expect("dev/fuzz/corpus/inbound is part of the repository") {
        called += usize::from(request::check(
            &std::fs::read(entry.unwrap().path()).unwrap(),
        ));
        count += 1;
    }
    assert!(count >= 20, "a corpus of {count} requests");
    assert!(called >= 5, "{called} requests of the corpus call a target");
}

/// Bytes, and text that looks like a request.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("method"),
        Just("sign"),
        Just("content-type"),
        Just("content-length"),
        Just("webhook-id"),
        Just("webhook-timestamp"),
        Just("webhook-signature"),
    ];
    let value = prop_oneof![
        ".{0,20}",
        "v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{0,60}=*)?",
        "[0-9]{1,12}",
        "application/json.{0,9}"
    ];
    let headers = prop::collection::vec((name, value), 0..6);
    let body = prop_oneof![
        ".{0,200}",
        r#"\{"protocol":2,"current_jobs":\[(\{"[a-z_]{1,9}":[\[\]{}0-9a-z",:\\]{0,40}\}){0,2}\]\}"#,
        r#"\{"self_test": ?(true|false|1)\}"#,
    ];
    let text = (headers, body).prop_map(|(headers, body)| {
        let head: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        format!("{}\n\n{body}", head.join("\n")).into_bytes()
    });
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..300), 4 => text]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_requests_are_handled(input in input()) {
        request::check(&input);
    }
}
