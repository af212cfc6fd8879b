//! Symmetric Standard Webhooks signatures: they prove that a dispatch comes from
//! our database, and to a target that a call comes from us.
//!
//! Specification: <https://github.com/standard-webhooks/standard-webhooks>.
//! The signature is `v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`.

use base64ct::{Base64Unpadded, Encoding};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::time::Timestamp;

/// How far a timestamp may be off our clock, in seconds.
const TOLERANCE_S: u64 = 300;

/// What the ids of our calls to targets start with. A call is signed with the same
/// key as a dispatch, over a body that a user wrote: if nothing that is signed
/// differed, a target could send its call back to us as a dispatch.
pub(crate) const CALL_ID_PREFIX: &str = "call_";

const KEY_PREFIX: &str = "whsec_";
/// The specification asks for 192 to 512 bits.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 24..=64;

/// One key, or several during a rotation: all of them sign, any of them verifies.
#[derive(Clone)]
pub struct Keys(Vec<Hmac<Sha256>>);

impl fmt::Debug for Keys {
    /// Shows how many there are, never their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// Reads `whsec_<base64>`, or several of them separated by white space.
    /// None if there is no key, or any of them is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let keys = text
            .split_whitespace()
            .map(parse_key)
            .collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self(keys))
    }
}

fn parse_key(text: &str) -> Option<Hmac<Sha256>> {
    let encoded = text.strip_prefix(KEY_PREFIX)?.trim_end_matches('=');
    let key = Base64Unpadded::decode_vec(encoded).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(())?;
    Hmac::new_from_slice(&key).ok()
}

/// The three headers of Standard Webhooks, unverified.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`, in seconds
    pub timestamp: &'a str,
    /// `webhook-signature`: one or more of `v1,<base64>`, separated by spaces
    pub signature: &'a str,
}

/// Why a signature was rejected. For the owner's log only: the reply does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// This header is missing.
    Missing(&'static str),
    /// The timestamp is not a number of seconds.
    TimestampIsNotANumber,
    /// Older than the tolerance.
    Stale,
    /// Further in the future than the tolerance.
    FromTheFuture,
    /// The id is that of a call to a target.
    NotADispatch,
    /// None of the signatures has version 1.
    NoKnownVersion,
    /// The body, the id or the timestamp was changed, or the key is a different one.
    NoMatch,
}

impl core::error::Error for SignatureError {}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(header) => return write!(f, "header {header} is missing"),
            Self::TimestampIsNotANumber => "webhook-timestamp is not a number of seconds",
            Self::Stale => "webhook-timestamp is more than five minutes old",
            Self::FromTheFuture => "webhook-timestamp is more than five minutes in the future",
            Self::NotADispatch => "webhook-id is that of a call to a target function",
            Self::NoKnownVersion => "webhook-signature holds no signature of version v1",
            Self::NoMatch => "no signature matches: is SUPAQUEUE_SECRET the same as the Vault's supaqueue_secret?",
        }
        .fmt(f)
    }
}

/// Checks that `body` was signed with one of the keys within five minutes of `now`.
/// The comparison takes constant time.
///
/// # Errors
/// Why the signature was rejected.
pub fn verify(
    keys: &Keys,
    headers: SignedHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let sent = parse_seconds(headers.timestamp).ok_or(SignatureError::TimestampIsNotANumber)?;
    if now.seconds().saturating_sub(sent) > TOLERANCE_S {
        return Err(SignatureError::Stale);
    }
    if sent.saturating_sub(now.seconds()) > TOLERANCE_S {
        return Err(SignatureError::FromTheFuture);
    }
    let given: Vec<[u8; 32]> = headers
        .signature
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(decode_mac)
        .collect();
    if given.is_empty() {
        return Err(SignatureError::NoKnownVersion);
    }
    for key in &keys.0 {
        let mac = mac(key, headers.id, headers.timestamp, body);
        if given
            .iter()
            .any(|one| mac.clone().verify_slice(one).is_ok())
        {
            return Ok(());
        }
    }
    Err(SignatureError::NoMatch)
}

/// The `webhook-signature` of a body: one signature with each key, so that a target
/// may have either of them during a rotation.
#[must_use]
pub fn sign(keys: &Keys, id: &str, now: Timestamp, body: &[u8]) -> String {
    let timestamp = now.seconds().to_string();
    let mut header = String::new();
    for key in &keys.0 {
        let bytes = mac(key, id, &timestamp, body).finalize().into_bytes();
        header.push_str(if header.is_empty() { "v1," } else { " v1," });
        header.push_str(&Base64Unpadded::encode_string(&bytes));
        // 32 bytes need one character of padding.
        header.push('=');
    }
    header
}

fn mac(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

fn decode_mac(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let text = text.strip_suffix('=')?;
    (Base64Unpadded::decode(text, &mut bytes).ok()?.len() == bytes.len()).then_some(bytes)
}

/// Digits only: no sign, no space.
fn parse_seconds(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    text.parse().ok()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
