//! Writing JSON objects.

use core::fmt::{Display, Write};

use crate::json::Raw;

/// An object under way. Values that are not there are left out.
#[derive(Debug)]
pub struct Object(String);

impl Object {
    /// An object without entries.
    pub fn new() -> Self {
        Self("{".into())
    }

    /// A string.
    pub fn text(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.string(value);
        }
        self
    }

    /// What is written without quotes: a number, a boolean, null.
    pub fn plain(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.name(name);
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value}");
        }
        self
    }

    /// Any JSON.
    pub fn raw(mut self, name: &str, value: Option<&Raw>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(value.get());
        }
        self
    }

    /// An object in the object.
    pub fn object(mut self, name: &str, value: Option<Object>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(&value.end());
        }
        self
    }

    /// The whole text.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.string(name);
        self.0.push(':');
    }

    fn string(&mut self, value: &str) {
        self.0.push('"');
        escape(&mut self.0, value);
        self.0.push('"');
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

/// A string as JSON.
pub fn string(value: &str) -> Raw {
    let mut text = String::from("\"");
    escape(&mut text, value);
    text.push('"');
    Raw::trusted(text)
}

/// RFC 8259, section 7: quotes, backslashes and control characters, and nothing else.
fn escape(to: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\0'..='\u{1F}' => {
                to.push_str("\\u00");
                to.push(if c < '\u{10}' { '0' } else { '1' });
                to.extend(char::from_digit(c as u32 & 0xF, 16));
            }
            _ => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_there_is_written_in_order() {
        let inner = Object::new().text("x\n", Some("\u{1}\u{1F}"));
        let object = Object::new()
            .text("a", Some("q\"\\é😀"))
            .text("b", None)
            .plain("c", Some(-5))
            .plain("d", None::<u8>)
            .raw("e", Some(&string("r")))
            .object("f", Some(inner))
            .object("g", None);
        assert_eq!(
            object.end(),
            r#"{"a":"q\"\\é😀","c":-5,"e":"r","f":{"x\n":"\u0001\u001f"}}"#
        );
        assert_eq!(Object::new().end(), "{}");
    }

    proptest! {
        #[test]
        fn serde_json_reads_every_string_that_we_write(name in any::<String>(), value in any::<String>()) {
            let text = Object::new().text(&name, Some(&value)).end();
            let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.into_iter().next(), Some((name, value)));
        }
    }
}
