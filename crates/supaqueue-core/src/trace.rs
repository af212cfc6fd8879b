//! `traceparent` (W3C Trace Context, level 1): the trace of the request that inserted a job, else one per dispatch.
//!
//! The platform rate limits calls between functions per trace, so a trace is passed on, with a new
//! span for each call.

use core::fmt;

/// The trace that a dispatch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u128,
    flags: u8,
}

impl Trace {
    /// The trace of a `traceparent` header. If that is missing or malformed, a new one from random bytes.
    #[must_use]
    pub fn new(traceparent: Option<&str>, random: [u8; 16]) -> Self {
        let id = u128::from_be_bytes(random).max(1);
        traceparent
            .and_then(Self::parse)
            .unwrap_or(Self { id, flags: 0 })
    }

    /// The trace of a valid `traceparent` header.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(4, '-');
        let version = hex(parts.next()?, 2)?;
        let id = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        // Later versions may have more parts.
        let last = parts.next()?;
        let flags = match version {
            0 => hex(last, 2)?,
            0xff => return None,
            _ => hex(last.split('-').next()?, 2)?,
        };
        (id != 0 && span != 0).then_some(Self {
            id,
            flags: flags as u8,
        })
    }

    /// The `traceparent` of a call: the span `span` of this trace.
    pub(crate) fn child(self, span: u64) -> impl fmt::Display {
        Child {
            trace: self,
            span: span.max(1),
        }
    }
}

struct Child {
    trace: Trace,
    span: u64,
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace.id, self.span, self.trace.flags
        )
    }
}

/// Exactly `count` lower-case hexadecimal digits.
fn hex(text: &str, count: usize) -> Option<u128> {
    let mut value = 0;
    for byte in text.bytes() {
        let digit = char::from(byte).to_digit(16);
        value = value << 4 | u128::from(digit.filter(|_| !byte.is_ascii_uppercase())?);
    }
    (text.len() == count).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_passed_on_and_a_malformed_one_replaced() {
        let random = [0xAB; 16];
        let new = "00-abababababababababababababababab-0000000000000001-00";
        let id = "0af7651916cd43dd8448eb211c80319c";
        let kept = format!("00-{id}-0000000000000001-01");
        let cases = [
            (Some(format!("00-{id}-b7ad6b7169203331-01")), &kept[..]),
            (
                Some(format!(
                    "01-{id}-b7ad6b7169203331-01-what-the-future-brings"
                )),
                &kept,
            ),
            (Some(format!("00-{id}-b7ad6b7169203331-01-more")), new),
            (Some(format!("ff-{id}-b7ad6b7169203331-01")), new),
            (
                Some(format!("00-{}-b7ad6b7169203331-01", id.to_uppercase())),
                new,
            ),
            (
                Some(format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))),
                new,
            ),
            (Some(format!("00-{id}-0000000000000000-01")), new),
            (Some("00".into()), new),
            (Some(String::new()), new),
            (None, new),
        ];
        for (header, want) in cases {
            assert_eq!(
                Trace::new(header.as_deref(), random).child(0).to_string(),
                want,
                "{header:?}"
            );
        }
    }
}
