//! Keeps secrets out of messages: the output of other programs may contain some.

/// How secrets start: our own, Supabase's keys and access tokens, JWTs.
const PREFIXES: [&str; 4] = ["whsec_", "sb_secret_", "sbp_", "eyJ"];

/// Truncates every secret in a text to its prefix.
pub(crate) fn redact(text: &str) -> String {
    let mut rest = text;
    let mut redacted = String::with_capacity(text.len());
    while let Some((at, prefix)) = PREFIXES
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
