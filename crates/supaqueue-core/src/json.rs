//! A reader of JSON for serde, small enough for the module.
//!
//! `serde_json` brings everything that formatting its errors could need,
//! floating point numbers included: 60 KB of WebAssembly, of the 150 KB that the
//! module may have. The tests hold this reader against `serde_json`, value by value.
//!
//! It reads what the protocol is made of: objects, lists, strings, integers,
//! booleans, null, and any JSON as the text that it is ([`Raw`]). It never
//! recurses further than the type that is read, whatever the text.

mod deserialize;
mod reader;

use core::fmt;

use serde::de::{self, Expected, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use self::reader::Reader;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    at: Option<usize>,
}

impl Error {
    fn or_at(self, at: usize) -> Self {
        Self {
            at: self.at.or(Some(at)),
            ..self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.at {
            Some(at) => write!(f, " at byte {at}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

/// The defaults of these would format the value that was found.
impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            at: None,
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self {
            message: format!("expected {expected}"),
            at: None,
        }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self {
            message: format!("expected {expected}"),
            at: None,
        }
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self {
            message: format!("expected {expected}"),
            at: None,
        }
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self {
            message: format!("expected no other field than {}", known.join(", ")),
            at: None,
        }
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self {
            message: format!("expected one of {}", known.join(", ")),
            at: None,
        }
    }
}

/// Any JSON, as the text that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Raw {
    /// Text that is JSON. None where it is not.
    pub fn parse(text: &str) -> Option<Self> {
        from_str(text).ok()
    }

    /// Text that was made as JSON.
    pub(crate) fn trusted(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

/// What [`Raw`] calls itself so that the reader does not look inside.
const RAW: &str = "$supaqueue::Raw";

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw(text.into()))
            }
        }
        deserializer.deserialize_newtype_struct(RAW, Text)
    }
}

/// Reads a value that is all of `text`.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
