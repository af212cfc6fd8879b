//! What can be read from JSON.

use core::num::NonZeroU32;
use std::sync::Arc;

use super::{Error, Reader};

/// A type that is read from JSON.
pub trait FromJson<'de>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// What was expected instead.
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error>;

    /// The value of a field that is missing; None if it must not be.
    #[must_use]
    fn missing() -> Option<Self> {
        None
    }
}

/// Implements [`FromJson`] for a struct: an object with these fields. Others are skipped.
macro_rules! object {
    ($type:ident $(<$life:lifetime>)? { $($field:ident),* $(,)? }) => {
        impl<'de $(: $life, $life)?> $crate::json::FromJson<'de> for $type $(<$life>)? {
            fn read(
                reader: &mut $crate::json::Reader<'de>,
            ) -> Result<Self, $crate::json::Error> {
                $(let mut $field = None;)*
                reader.object(&mut |name, reader| match name {
                    $(stringify!($field) => reader.field(&mut $field),)*
                    _ => reader.skip(),
                })?;
                Ok(Self {
                    $($field: reader.found($field, stringify!($field))?,)*
                })
            }
        }
    };
}
pub(crate) use object;

impl FromJson<'_> for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.peek()? {
            b't' => reader.literal("true").map(|()| true),
            b'f' => reader.literal("false").map(|()| false),
            _ => Err(reader.error("expected true or false")),
        }
    }
}

impl FromJson<'_> for u64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.integer(Self::MAX)
    }
}

impl FromJson<'_> for u32 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(reader.integer(Self::MAX.into())? as Self)
    }
}

impl FromJson<'_> for u16 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(reader.integer(Self::MAX.into())? as Self)
    }
}

impl FromJson<'_> for NonZeroU32 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Self::new(u32::read(reader)?).ok_or_else(|| reader.error("expected more than 0"))
    }
}

impl FromJson<'_> for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(reader.string()?.into_owned())
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Option<T> {
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error> {
        if reader.peek()? == b'n' {
            return reader.literal("null").map(|()| None);
        }
        T::read(reader).map(Some)
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Vec<T> {
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error> {
        let mut list = Self::new();
        reader.list(&mut |reader| {
            list.push(T::read(reader)?);
            Ok(())
        })?;
        Ok(list)
    }

    fn missing() -> Option<Self> {
        Some(Self::new())
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Arc<T> {
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error> {
        T::read(reader).map(Self::new)
    }
}
