//! The fields of a query or of a form.

use url::form_urlencoded;

use crate::error::Error;

/// Names and values, in their order; a name can come more than once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Decodes `a=1&b=2`. A NUL is refused, as no text in Postgres has one.
    pub(crate) fn parse(encoded: &str) -> Result<Self, Error> {
        let fields: Vec<_> = form_urlencoded::parse(encoded.as_bytes())
            .into_owned()
            .collect();
        let has_nul = |text: &String| text.contains('\0');
        match fields
            .iter()
            .any(|(name, value)| has_nul(name) || has_nul(value))
        {
            true => Err(Error::Invalid("A field contains a NUL.".into())),
            false => Ok(Self(fields)),
        }
    }

    /// Fields of our own.
    pub(crate) fn of<const N: usize>(fields: [(&str, &str); N]) -> Self {
        Self(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    /// The first value of a name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// The first value of a name, which may be empty.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All values of a name.
    pub(crate) fn values<'a, 'b: 'a>(&'a self, name: &'b str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// A value that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Error> {
        self.get(name)
            .ok_or_else(|| Error::Invalid(format!("The field {name} is missing.")))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same with one value of a name instead of those it has; `None` removes them.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut fields = self.0.clone();
        fields.retain(|(key, _)| key != name);
        fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        Self(fields)
    }

    /// `a=1&b=2`.
    pub(crate) fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.iter())
            .finish()
    }

    /// A path with these fields as its query.
    pub(crate) fn link(&self, path: &str) -> String {
        match self.0.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", self.encode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let fields = Fields::parse("status=failed&id=1&id=2&empty=&q=a%26b+%C3%BC").unwrap();
        assert_eq!(fields.values("id").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((fields.get("empty"), fields.raw("empty")), (None, Some("")));
        assert_eq!(fields.get("q"), Some("a&b ü"));
        let changed = fields.with("id", Some("3")).with("status", None);
        assert_eq!(changed.link("/jobs"), "/jobs?empty=&q=a%26b+%C3%BC&id=3");
        assert!(Fields::parse("a=%00").is_err());
    }
}
