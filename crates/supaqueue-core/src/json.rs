//! A reader of JSON for serde, small enough for the module.
//!
//! `serde_json` brings everything that formatting its errors could need,
//! floating point numbers included: 60 KB of WebAssembly, of the 150 KB that the
//! module may have. The tests hold this reader against `serde_json`, value by value.
//!
//! It reads what the protocol is made of: objects, lists, strings, integers,
//! booleans, null, and any JSON as the text that it is ([`Raw`]). It never
//! recurses further than the type that is read, whatever the text.

use core::fmt;
use std::borrow::Cow;

use serde::de::value::CowStrDeserializer;
use serde::de::{self, DeserializeSeed, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

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
    let mut reader = Reader { text, at: 0 };
    let value = T::deserialize(&mut reader)?;
    reader.skip_space();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(reader.error("expected the end"))
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Reader<'de> {
    fn error(&self, message: &str) -> Error {
        Error {
            message: message.into(),
            at: Some(self.at),
        }
    }

    fn expected(&self, what: &dyn Expected) -> Error {
        self.error(&format!("expected {what}"))
    }

    fn open(&mut self, bracket: u8, what: &dyn Expected) -> Result<(), Error> {
        if self.peek()? != bracket {
            return Err(self.expected(what));
        }
        self.at += 1;
        Ok(())
    }

    /// A whole number, and where it begins.
    fn integer(&mut self, what: &dyn Expected) -> Result<(usize, u64), Error> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.expected(what));
        }
        let start = self.at;
        self.skip_number()?;
        let number = self
            .since(start)?
            .parse()
            .map_err(|_| self.expected(what))?;
        Ok((start, number))
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte at which the next token begins.
    fn peek(&mut self) -> Result<u8, Error> {
        self.skip_space();
        self.byte().ok_or_else(|| self.error("expected more"))
    }

    fn expect(&mut self, token: u8, message: &str) -> Result<(), Error> {
        if self.peek()? != token {
            return Err(self.error(message));
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), Error> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// The text from `start` to here. Both are beside ASCII characters, so never inside another one.
    fn since(&self, start: usize) -> Result<&'de str, Error> {
        self.text
            .get(start..self.at)
            .ok_or_else(|| self.error("expected a value"))
    }

    /// Goes past a value, checking it, without recursion: a payload may be nested as deeply as it likes.
    fn skip(&mut self) -> Result<(), Error> {
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    // The closing character is two further on in ASCII, for both.
                    let close = first + 2;
                    if self.peek()? == close {
                        self.at += 1;
                    } else {
                        open.push(close);
                        self.skip_key(close)?;
                        continue;
                    }
                }
                b'"' => drop(self.skip_string()?),
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => self.skip_number()?,
            }
            loop {
                let Some(close) = open.last().copied() else {
                    return Ok(());
                };
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        self.skip_key(close)?;
                        break;
                    }
                    byte if byte == close => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.error("expected a comma or the end of a list or object")),
                }
            }
        }
    }

    fn skip_key(&mut self, close: u8) -> Result<(), Error> {
        if close == b'}' {
            self.peek()?;
            self.skip_string()?;
            self.expect(b':', "expected a colon")?;
        }
        Ok(())
    }

    /// Goes past a string. Whether there are escapes in it.
    fn skip_string(&mut self) -> Result<bool, Error> {
        let mut is_escaped = false;
        self.expect(b'"', "expected a string")?;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 1;
                    match self.byte() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 1
                        }
                        Some(b'u') => drop(self.hex()?),
                        _ => return Err(self.error("expected an escape")),
                    }
                }
                None | Some(0..=0x1F) => return Err(self.error("expected the end of a string")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(is_escaped)
    }

    /// The four digits of an escape; goes past them and the letter before them.
    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.error("expected a hexadecimal digit"))?;
        }
        self.at += 1;
        Ok(code)
    }

    fn skip_digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.error("expected a value"))
        } else {
            Ok(())
        }
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.skip_digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        self.skip_space();
        let start = self.at;
        let is_escaped = self.skip_string()?;
        let end = core::mem::replace(&mut self.at, start + 1);
        let text = if is_escaped {
            Cow::Owned(self.unescape(end - 1)?)
        } else {
            self.text_to(end - 1)?
        };
        self.at = end;
        Ok(text)
    }

    fn text_to(&mut self, end: usize) -> Result<Cow<'de, str>, Error> {
        let start = core::mem::replace(&mut self.at, end);
        self.since(start).map(Cow::Borrowed)
    }

    /// The text of a string that was checked, from here to its closing quote at `end`.
    fn unescape(&mut self, end: usize) -> Result<String, Error> {
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.at < end && self.byte() != Some(b'\\') {
                self.at += 1;
            }
            text.push_str(self.since(start)?);
            if self.at >= end {
                return Ok(text);
            }
            self.at += 1;
            let escape = self.byte();
            if escape == Some(b'u') {
                text.push(self.unicode()?);
                continue;
            }
            self.at += 1;
            text.push(match escape {
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{C}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                other => char::from(other.unwrap_or_default()),
            });
        }
    }

    /// The character of one escape, or of two that are a surrogate pair.
    fn unicode(&mut self) -> Result<char, Error> {
        let mut code = self.hex()?;
        if (0xD800..0xDC00).contains(&code)
            && self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u")
        {
            self.at += 1;
            let low = self.hex()?.wrapping_sub(0xDC00);
            // A low one that is none makes a code that is no character.
            code = if low < 0x400 {
                0x10000 + ((code - 0xD800) << 10) + low
            } else {
                0xD800
            };
        }
        char::from_u32(code).ok_or_else(|| self.error("expected a surrogate pair"))
    }
}

/// One method for each kind of value, so that what a type can not be costs nothing.
impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::Unit, &visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(b'{', &visitor)?;
        let start = self.at;
        let result = visitor.visit_map(Items {
            reader: self,
            close: b'}',
            is_first: true,
        });
        result.map_err(|error| error.or_at(start))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(b'[', &visitor)?;
        visitor.visit_seq(Items {
            reader: self,
            close: b']',
            is_first: true,
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? != b'"' {
            return Err(self.expected(&visitor));
        }
        let start = self.at;
        let text = self.string()?;
        visitor
            .visit_str(&text)
            .map_err(|error: Error| error.or_at(start))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (start, number) = self.integer(&visitor)?;
        visitor
            .visit_u64(number)
            .map_err(|error: Error| error.or_at(start))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            b't' => self.literal("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self
                .literal("false")
                .and_then(|()| visitor.visit_bool(false)),
            _ => Err(self.expected(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? == b'n' {
            self.literal("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != RAW {
            return visitor.visit_newtype_struct(self);
        }
        self.skip_space();
        let start = self.at;
        self.skip()?;
        visitor.visit_str(self.since(start)?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.peek()? != b'"' {
            return Err(self.expected(&visitor));
        }
        let start = self.at;
        let name = self.string()?;
        visitor
            .visit_enum(CowStrDeserializer::new(name))
            .map_err(|error: Error| error.or_at(start))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// The items of a list, or the entries of an object.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    close: u8,
    is_first: bool,
}

impl Items<'_, '_> {
    /// Whether there is one more. Goes past the comma before it, or past the end.
    fn has_next(&mut self) -> Result<bool, Error> {
        if self.reader.peek()? == self.close {
            self.reader.at += 1;
            return Ok(false);
        }
        if !core::mem::take(&mut self.is_first) {
            self.reader
                .expect(b',', "expected a comma or the end of a list or object")?;
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        if self.reader.peek()? != b'"' {
            return Err(self.reader.error("expected a string"));
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.expect(b':', "expected a colon")?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
