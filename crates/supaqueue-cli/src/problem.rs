//! An error with its remedy.

use std::fmt;

/// What went wrong, and what the reader can do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    what: String,
    remedy: String,
}

impl Problem {
    /// As an error of `anyhow`.
    pub(crate) fn error(what: impl fmt::Display, remedy: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self {
            what: redact(&what.to_string()),
            remedy: redact(&remedy.to_string()),
        })
    }

    /// The remedy of an error, where it has one.
    pub(crate) fn remedy(error: &anyhow::Error) -> Option<&str> {
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Self>())
            .map(|problem| problem.remedy.as_str())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

/// How secrets begin: our own, Supabase's keys and access tokens, JWTs.
const SECRETS: [&str; 4] = ["whsec_", "sb_secret_", "sbp_", "eyJ"];

/// A text in which every secret is cut to its first characters: what other programs write may hold some.
pub(crate) fn redact(text: &str) -> String {
    let mut rest = text;
    let mut redacted = String::with_capacity(text.len());
    while let Some((at, prefix)) = SECRETS
        .iter()
        .filter_map(|prefix| Some((rest.find(prefix)?, *prefix)))
        .min_by_key(|(at, _)| *at)
    {
        let (before, secret) = rest.split_at(at);
        let tail = &secret[prefix.len()..];
        let end = tail
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+/=_-.".contains(c)))
            .unwrap_or(tail.len());
        redacted.push_str(before);
        redacted.push_str(prefix);
        if end > 0 {
            redacted.push('…');
        }
        rest = &tail[end..];
    }
    redacted + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives_redaction() {
        for (text, want) in [
            ("plain", "plain"),
            ("a whsec_AbC+/9= b", "a whsec_… b"),
            ("\"whsec_a whsec_b\"", "\"whsec_… whsec_…\""),
            ("Bearer eyJhbGci.eyJp.x-y_z, sbp_0123", "Bearer eyJ…, sbp_…"),
            ("sb_secret_x;whsec_<base64>", "sb_secret_…;whsec_<base64>"),
        ] {
            assert_eq!(redact(text), want);
        }
    }
}
