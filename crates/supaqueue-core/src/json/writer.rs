//! Writes JSON objects.

use core::fmt::{Display, Write};

use super::Raw;

/// An object being written. Entries without a value are left out.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// Adds a string.
    pub(crate) fn text(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.string(value);
        }
        self
    }

    /// Adds a value that is written without quotes: a number, a boolean, null.
    pub(crate) fn plain(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.name(name);
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value}");
        }
        self
    }

    /// Adds any JSON.
    pub(crate) fn raw(mut self, name: &str, value: Option<&Raw>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(value.get());
        }
        self
    }

    /// Adds an object.
    pub(crate) fn object(mut self, name: &str, value: Option<Object>) -> Self {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(&value.end());
        }
        self
    }

    /// The object as text.
    pub(crate) fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.string(name);
        self.0.push(':');
    }

    fn string(&mut self, value: &str) {
        self.0.push('"');
        escape(&mut self.0, value);
        self.0.push('"');
    }
}

/// The text as a JSON string.
pub(crate) fn string(value: &str) -> Raw {
    let mut text = String::from("\"");
    escape(&mut text, value);
    text.push('"');
    Raw(text.into())
}

/// Escapes what RFC 8259, section 7, requires: quotes, backslashes and control characters.
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
    fn entries_with_a_value_are_written_in_order() {
        let inner = Object::default().text("x\n", Some("\u{1}\u{1F}"));
        let object = Object::default()
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
        assert_eq!(Object::default().end(), "{}");
    }

    proptest! {
        #[test]
        fn serde_json_reads_every_string_written_here(name in any::<String>(), value in any::<String>()) {
            let text = Object::default().text(&name, Some(&value)).end();
            let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.into_iter().next(), Some((name, value)));
        }
    }
}
