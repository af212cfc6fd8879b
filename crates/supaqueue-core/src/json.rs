//! JSON for serde, small enough for the WebAssembly module.
//!
//! `serde_json` links all the formatting that its errors might need, including that of
//! floating point numbers: 60 of the 150 KB that the module may have. The tests compare
//! this reader with `serde_json`, value by value.
//!
//! It reads what the protocol consists of: objects, arrays, strings, integers,
//! booleans, null, and any JSON as unparsed text ([`Raw`]). It recurses no deeper
//! than the type being read, however deeply the text is nested.

mod deserialize;
mod reader;
mod writer;

use core::fmt;
use std::rc::Rc;

use serde::de::{self, Expected, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use self::reader::Reader;
pub(crate) use self::writer::{Object, string};

/// What was expected of the text, and where.
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

impl From<Object> for Raw {
    fn from(object: Object) -> Self {
        Self(object.end().into())
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

/// The default methods would format the value that was found.
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

/// Any JSON as unparsed text, which is cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(Rc<str>);

impl Raw {
    /// The text, if it is JSON.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_str(text).ok()
    }

    /// The text, if it is JSON that Postgres stores as `jsonb`, whatever its settings. Some that it
    /// does store is left out: that whose nesting nears the limits of parsers, and small texts
    /// that stand for huge numbers.
    #[must_use]
    pub fn parse_storable(text: &str) -> Option<Self> {
        let mut reader = Reader::new(text);
        reader.skip().ok()?;
        reader.end().ok()?;
        reader.is_storable.then(|| Self(text.trim().into()))
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub(crate) fn share(&self) -> Rc<str> {
        Rc::clone(&self.0)
    }
}

/// Any JSON as a part of the text being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'de>(pub(crate) &'de str);

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Part<'de>, E> {
                Ok(Part(text))
            }
        }
        deserializer.deserialize_newtype_struct(RAW, Text)
    }
}

/// The name by which the reader recognizes [`Raw`] and [`Part`].
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

/// Reads a value that spans all of `text`.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
