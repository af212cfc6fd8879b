use super::*;
use crate::config::tests::SECRET;
use proptest::prelude::*;
use standardwebhooks::Webhook;

const OLD_SECRET: &str = "whsec_dGhlLWtleS1iZWZvcmUtaXQtaXMtMzItYnl0ZXMtbG9uZyE=";
const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);

fn keys(text: &str) -> Keys {
    Keys::parse(text).unwrap()
}

type Verdict = Result<(), SignatureError>;

fn check(secret: &str, id: &str, timestamp: &str, signature: &str, body: &str) -> Verdict {
    let headers = SignedHeaders {
        id,
        timestamp,
        signature,
    };
    verify(&keys(secret), headers, body.as_bytes(), NOW)
}

#[test]
fn keys_are_read_and_never_shown() {
    let cases = [
        (SECRET, true),
        (&format!("  {SECRET} \n"), true),
        (SECRET.trim_end_matches('='), true),
        ("", false),
        ("   ", false),
        ("c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=", false),
        ("whsec_", false),
        ("whsec_dG9vIHNob3J0", false),
        ("whsec_not*base64*at*all*not*base64*at*all*not", false),
    ];
    for (text, want) in cases {
        assert_eq!(Keys::parse(text).is_some(), want, "{text:?}");
    }
    let both = format!("{:?}", keys(&format!("{SECRET} {OLD_SECRET}")));
    assert_eq!(both, "Keys(2)", "two keys separated by a space");
    let malformed = Keys::parse(&format!("{SECRET} whsec_x"));
    assert!(malformed.is_none(), "a malformed key is not ignored");
}

/// Made by Postgres: `select supaqueue.signature(supaqueue.signing_key(SECRET), 'dsp_1', '1795417959', body)`.
#[test]
fn a_signature_made_by_postgres_is_accepted() {
    let body = r#"{"current_jobs": [{"job": {"payload": {"a": "ü €"}}}]}"#;
    let signature = "v1,FvyKDguDI2Nt4MgBDbn/UVK2OkLo6G4WOcs+/yi6f9E=";
    let verdict = check(SECRET, "dsp_1", "1795417959", signature, body);
    assert_eq!(verdict, Ok(()));
}

#[test]
fn a_signature_is_accepted_or_rejected() {
    use SignatureError::{FromTheFuture, NoKnownVersion, NoMatch, Stale, TimestampIsNotANumber};

    let body = r#"{"current_jobs":[]}"#;
    let at = |offset: i64| (NOW.seconds() as i64 + offset).to_string();
    let signed = |secret: &str, id: &str, offset: i64| {
        let then = Timestamp::from_ms((NOW.ms() as i64 + offset * 1000) as u64);
        sign(&keys(secret), id, then, body.as_bytes())
    };
    let good = signed(SECRET, "a", 0);
    let old = signed(OLD_SECRET, "a", 0);
    let both = format!("{SECRET} {OLD_SECRET}");
    let now = at(0);

    #[rustfmt::skip] // one case per line
    let cases = [
        ("our key", check(SECRET, "a", &now, &good, body), Ok(())),
        ("the new key of two", check(&both, "a", &now, &good, body), Ok(())),
        ("the old key of two", check(&both, "a", &now, &old, body), Ok(())),
        ("the key that was removed", check(SECRET, "a", &now, &old, body), Err(NoMatch)),
        ("several, ours second", check(SECRET, "a", &now, &format!("{old} {good}"), body), Ok(())),
        ("several, one of another version", check(SECRET, "a", &now, &format!("v1a,xyz {good}"), body), Ok(())),
        ("another version alone", check(SECRET, "a", &now, "v2,abc", body), Err(NoKnownVersion)),
        ("empty", check(SECRET, "a", &now, "", body), Err(NoKnownVersion)),
        ("no version", check(SECRET, "a", &now, &good[3..], body), Err(NoKnownVersion)),
        ("truncated", check(SECRET, "a", &now, &good[..20], body), Err(NoKnownVersion)),
        ("longer", check(SECRET, "a", &now, &format!("{good}AAAA"), body), Err(NoKnownVersion)),
        ("a byte of the body", check(SECRET, "a", &now, &good, r#"{"current_jobs":[ ]}"#), Err(NoMatch)),
        ("another id", check(SECRET, "b", &now, &good, body), Err(NoMatch)),
        ("another timestamp", check(SECRET, "a", &at(1), &good, body), Err(NoMatch)),
        ("300 s old", check(SECRET, "a", &at(-300), &signed(SECRET, "a", -300), body), Ok(())),
        ("301 s old", check(SECRET, "a", &at(-301), &signed(SECRET, "a", -301), body), Err(Stale)),
        ("300 s ahead", check(SECRET, "a", &at(300), &signed(SECRET, "a", 300), body), Ok(())),
        ("301 s ahead", check(SECRET, "a", &at(301), &signed(SECRET, "a", 301), body), Err(FromTheFuture)),
        ("a timestamp in words", check(SECRET, "a", "now", &good, body), Err(TimestampIsNotANumber)),
        ("a timestamp with a sign", check(SECRET, "a", &format!("+{now}"), &good, body), Err(TimestampIsNotANumber)),
        ("no timestamp", check(SECRET, "a", "", &good, body), Err(TimestampIsNotANumber)),
        ("a timestamp that overflows", check(SECRET, "a", &"9".repeat(40), &good, body), Err(TimestampIsNotANumber)),
        ("signed with two keys", check(OLD_SECRET, "a", &now, &signed(&both, "a", 0), body), Ok(())),
    ];
    for (name, got, want) in cases {
        assert_eq!(got, want, "{name}");
    }
}

proptest! {
    #[test]
    fn the_standardwebhooks_crate_makes_the_same_signature(id in "[!-~]{0,40}", body in ".{0,200}", s in 0u64..4_000_000_000) {
        let theirs = Webhook::new(SECRET).unwrap().sign(&id, s as i64, body.as_bytes()).unwrap();
        let ours = sign(&keys(SECRET), &id, Timestamp::from_ms(s * 1000), body.as_bytes());
        prop_assert_eq!(&ours, &theirs);
        let now = Timestamp::from_ms(s * 1000);
        let seconds = s.to_string();
        let headers = SignedHeaders { id: &id, timestamp: &seconds, signature: &theirs };
        prop_assert_eq!(verify(&keys(SECRET), headers, body.as_bytes(), now), Ok(()));
    }

    #[test]
    fn one_flipped_bit_is_rejected(body in prop::collection::vec(any::<u8>(), 1..100), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let signature = sign(&keys(SECRET), "a", NOW, &body);
        let seconds = NOW.seconds().to_string();
        let headers = SignedHeaders { id: "a", timestamp: &seconds, signature: &signature };
        let mut changed = body;
        let i = at.index(changed.len());
        changed[i] ^= 1 << bit;
        prop_assert_eq!(verify(&keys(SECRET), headers, &changed, NOW), Err(SignatureError::NoMatch));
    }
}

/// The crate reads the real clock, so the signature is made at the real time.
#[test]
fn the_standardwebhooks_crate_accepts_what_we_sign() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = Timestamp::from_ms(now.as_millis() as u64);
    let body = br#"{"hello":"world"}"#;
    let mut headers = http::HeaderMap::new();
    let signature = sign(&keys(SECRET), "call_1", now, body);
    for (name, value) in [
        ("webhook-id", "call_1"),
        ("webhook-timestamp", &now.seconds().to_string()),
        ("webhook-signature", &signature),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let theirs = Webhook::new(SECRET).unwrap();
    theirs.verify(body, &headers).unwrap();
}
