//! JSON, read and written with little code.
//!
//! `serde_json` links all the formatting that its errors might need, including that of
//! floating point numbers: 60 of the 145 KB that the module may have. Even with a reader of our own,
//! serde's generated code was 20 KB. The tests compare this reader with `serde_json`, value by value.
//!
//! It reads what the protocol consists of: objects, arrays, strings, integers,
//! booleans, null, and any JSON as unparsed text ([`Raw`]). It recurses no deeper
//! than the type being read, however deeply the text is nested.

mod from_json;
mod reader;
mod writer;

use core::fmt;
use std::sync::Arc;

pub use self::from_json::FromJson;
pub(crate) use self::from_json::{Field, fields, object};
pub use self::reader::Reader;
pub(crate) use self::writer::{Object, string};

/// What was expected of the text, and where. It is boxed, so that results stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<(String, usize)>);

impl Error {
    pub(crate) fn new(message: &str, at: usize) -> Self {
        Self(Box::new((message.to_owned(), at)))
    }
}

impl From<Object> for Raw {
    fn from(object: Object) -> Self {
        Self(object.end().into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.0.0, self.0.1)
    }
}

impl core::error::Error for Error {}

/// Any JSON as unparsed text, which is cheap to clone. (`Arc` here and elsewhere lets the protocol's model
/// explore runs in several threads; without threads it costs the same as `Rc`.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raw(Arc<str>);

impl Raw {
    /// The text, if it is JSON.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_str(text).ok()
    }

    /// The text, if it is JSON that every Postgres stores as `jsonb`. To be safe, this also rejects some
    /// JSON that Postgres would store: deep nesting, which may exceed a parser's limit, and short texts
    /// for huge numbers.
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
    pub(crate) fn share(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Any JSON as a part of the text being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'de>(pub(crate) &'de str);

impl<'de> FromJson<'de> for Part<'de> {
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error> {
        reader.any().map(Self)
    }
}

impl FromJson<'_> for Raw {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.any().map(|text| Self(text.into()))
    }
}

fields! {
    Raw = Self("".into()),
}

/// Reads a value that spans all of `text`.
///
/// # Errors
/// What was expected instead.
pub fn from_str<'de, T: FromJson<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
