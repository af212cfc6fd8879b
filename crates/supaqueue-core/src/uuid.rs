//! UUIDs, in the one form that Postgres writes.

use core::fmt;

use crate::json::{Error, FromJson, Reader};

/// A UUID. (The `uuid` crate reads more forms and describes every error in
/// detail: 4 KB of the module for input that nobody sends.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uuid(u128);

impl Uuid {
    /// The UUID of zeros, which no row has.
    pub(crate) const NIL: Self = Self(0);

    /// A random UUID (version 4, RFC 9562, section 5.4) from random bytes.
    pub(crate) const fn from_random(bytes: [u8; 16]) -> Self {
        let random = u128::from_be_bytes(bytes);
        let version = 0xF << 76;
        let variant = 0x3 << 62;
        Self(random & !version & !variant | 0x4 << 76 | 0x2 << 62)
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut value = 0;
        for (i, byte) in text.bytes().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                (byte == b'-').then_some(())?;
            } else {
                value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
            }
        }
        (text.len() == 36).then_some(Self(value))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in 0..32 {
            if matches!(i, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            let digit = (self.0 >> (124 - 4 * i)) as u32 & 0xF;
            write!(f, "{}", char::from_digit(digit, 16).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl FromJson<'_> for Uuid {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let text = reader.string()?;
        Self::parse(&text).ok_or_else(|| reader.error("expected a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_form_that_postgres_writes_is_read() {
        let cases = [
            ("0af76519-16cd-43dd-8448-eb211c80319c", true),
            ("0AF76519-16CD-43DD-8448-EB211C80319C", true),
            ("0af7651916cd43dd8448eb211c80319c", false),
            ("{0af76519-16cd-43dd-8448-eb211c80319c}", false),
            ("0af76519-16cd-43dd-8448-eb211c80319", false),
            ("0af76519-16cd-43dd-8448-eb211c80319c0", false),
            ("0af76519-16cd-43dd-8448-eb211c80319g", false),
            ("0af76519a16cd-43dd-8448-eb211c80319c", false),
            ("", false),
        ];
        for (text, want) in cases {
            assert_eq!(Uuid::parse(text).is_some(), want, "{text}");
        }
    }

    #[test]
    fn a_random_uuid_has_version_4() {
        assert_eq!(
            Uuid::from_random([0xFF; 16]).to_string(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(
            Uuid::from_random([0; 16]).to_string(),
            "00000000-0000-4000-8000-000000000000"
        );
    }

    proptest! {
        #[test]
        fn a_written_uuid_reads_back(value in any::<u128>()) {
            prop_assert_eq!(Uuid::parse(&Uuid(value).to_string()), Some(Uuid(value)));
        }
    }
}
