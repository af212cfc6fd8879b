//! Text that becomes part of a statement.

use postgres_protocol::escape::escape_literal;

/// A string as a literal. Only text without NUL ([`crate::fields::Fields`] refuses it).
pub(crate) fn literal(text: &str) -> String {
    escape_literal(text).trim_start().to_owned()
}

/// A string as a literal, or `null`.
pub(crate) fn literal_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".into(), literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_ends_where_it_should() {
        for (text, want) in [
            ("plain", "'plain'"),
            ("it's", "'it''s'"),
            ("'; drop table x; --", "'''; drop table x; --'"),
            (r"back\slash'", r"E'back\\slash'''"),
        ] {
            assert_eq!(literal(text), want);
        }
    }
}
