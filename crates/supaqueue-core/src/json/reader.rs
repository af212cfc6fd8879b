//! The grammar of JSON (RFC 8259): skips values, and reads strings and whole numbers.

use std::borrow::Cow;

use super::Error;
use super::from_json::AnyField;

/// Deeper values are not stored: Postgres' parser recurses until `max_stack_depth`, which a project may
/// have lowered, and so do the parsers of those who read a result.
const MAX_STORED_DEPTH: usize = 500;
/// Longer numbers, and those whose exponent has more digits, are not stored. `jsonb` holds 131,072 digits
/// before the point and 16,383 after it, but writes an exponent out: `1e131071` as that many digits.
const MAX_STORED_DIGITS: usize = 15_000;
const MAX_STORED_EXPONENT_DIGITS: usize = 3;

/// A text, and how much of it was read.
#[derive(Debug)]
pub struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// Whether Postgres stores what was skipped, as `jsonb`.
    pub(super) is_storable: bool,
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self {
            text,
            at: 0,
            is_storable: true,
        }
    }

    /// Checks that only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.skip_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("expected the end"))
        }
    }

    pub(crate) fn error(&self, message: &str) -> Error {
        Error::new(message, self.at)
    }

    /// Reads an object: `field` gets each name, and reads or skips the value.
    pub(crate) fn object(
        &mut self,
        field: &mut dyn FnMut(&str, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'{', "expected an object")?;
        let mut is_first = true;
        while self.has_next(b'}', &mut is_first)? {
            let name = self.string()?;
            self.expect(b':', "expected a colon")?;
            field(&name, self)?;
        }
        Ok(())
    }

    /// Reads a list: `element` reads each element.
    pub(super) fn list(
        &mut self,
        element: &mut dyn FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'[', "expected a list")?;
        let mut is_first = true;
        while self.has_next(b']', &mut is_first)? {
            element(self)?;
        }
        Ok(())
    }

    /// Whether there is another element. Skips the comma before it, or the closing bracket.
    fn has_next(&mut self, close: u8, is_first: &mut bool) -> Result<bool, Error> {
        if self.peek()? == close {
            self.at += 1;
            return Ok(false);
        }
        if !core::mem::take(is_first) {
            self.expect(b',', "expected a comma or the end of a list or object")?;
        }
        Ok(true)
    }

    /// Reads an object with these fields, at most 16, each with its name.
    pub(crate) fn fields(
        &mut self,
        fields: &mut [(&str, &mut dyn AnyField<'de>)],
    ) -> Result<(), Error> {
        let mut found = 0_u16;
        self.object(&mut |name, reader| {
            let Some(index) = fields.iter().position(|(known, _)| *known == name) else {
                return reader.skip();
            };
            if found & 1 << index != 0 {
                return Err(reader.error("expected each field once"));
            }
            found |= 1 << index;
            fields[index].1.overwrite(reader)
        })?;
        for (index, (name, field)) in fields.iter().enumerate() {
            if field.is_required() && found & 1 << index == 0 {
                return Err(self.error(&format!("missing field `{name}`")));
            }
        }
        Ok(())
    }

    /// Any value, as it stands.
    pub(super) fn any(&mut self) -> Result<&'de str, Error> {
        self.skip_space();
        let start = self.at;
        self.skip()?;
        self.since(start)
    }

    /// A whole number.
    pub(super) fn integer(&mut self, max: u64) -> Result<u64, Error> {
        let digits = self.any()?;
        let number = digits.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| {
            let message = format!("expected a whole number up to {max}");
            Error::new(&message, self.at - digits.len())
        })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next token.
    pub(super) fn peek(&mut self) -> Result<u8, Error> {
        self.skip_space();
        self.byte().ok_or_else(|| self.error("expected more"))
    }

    pub(super) fn expect(&mut self, token: u8, message: &str) -> Result<(), Error> {
        if self.peek()? != token {
            return Err(self.error(message));
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn literal(&mut self, word: &str) -> Result<(), Error> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// The text from `start` to here. Both are next to ASCII characters, so never inside a longer one.
    fn since(&self, start: usize) -> Result<&'de str, Error> {
        self.text
            .get(start..self.at)
            .ok_or_else(|| self.error("expected a value"))
    }

    /// Checks and skips a value without recursion: a payload may be nested to any depth.
    pub(crate) fn skip(&mut self) -> Result<(), Error> {
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    // In ASCII, either closing bracket is two after its opening one.
                    let close = first + 2;
                    if self.peek()? == close {
                        self.at += 1;
                    } else {
                        open.push(close);
                        self.is_storable &= open.len() <= MAX_STORED_DEPTH;
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

    /// Skips a string; true if it contains escapes.
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
                        Some(b'u') => self.skip_unicode()?,
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

    /// The four digits of an escape. Skips them and the letter before them.
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

    /// Skips an escape, or two that form a surrogate pair. `jsonb` holds neither NUL nor half a pair.
    fn skip_unicode(&mut self) -> Result<(), Error> {
        let start = self.at;
        if !self.unicode().is_ok_and(|c| c != '\0') {
            self.is_storable = false;
            self.at = start;
            self.hex()?;
        }
        Ok(())
    }

    /// Skips at least one digit; returns how many.
    fn skip_digits(&mut self) -> Result<usize, Error> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.error("expected a value"))
        } else {
            Ok(self.at - start)
        }
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => drop(self.skip_digits()?),
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
            self.is_storable &= self.skip_digits()? <= MAX_STORED_EXPONENT_DIGITS;
        }
        self.is_storable &= self.at - start <= MAX_STORED_DIGITS;
        Ok(())
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'de, str>, Error> {
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

    /// The text of a checked string, from here to its closing quote at `end`.
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

    /// The character of one escape, or of the two that form a surrogate pair.
    fn unicode(&mut self) -> Result<char, Error> {
        let mut code = self.hex()?;
        if (0xD800..0xDC00).contains(&code)
            && self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u")
        {
            self.at += 1;
            let low = self.hex()?.wrapping_sub(0xDC00);
            // Without a low surrogate the code stays one that is no character.
            code = if low < 0x400 {
                0x10000 + ((code - 0xD800) << 10) + low
            } else {
                0xD800
            };
        }
        char::from_u32(code).ok_or_else(|| self.error("expected a surrogate pair"))
    }
}
