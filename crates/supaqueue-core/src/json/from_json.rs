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
}

/// The type of a field of an object.
pub(crate) trait Field<'de>: FromJson<'de> {
    /// Whether an object must have the field.
    const IS_REQUIRED: bool = true;

    /// What the field holds until it is read.
    fn empty() -> Self;
}

/// A [`Field`] of any type: the code that reads objects exists once, not once for each struct.
pub(crate) trait AnyField<'de> {
    fn is_required(&self) -> bool;
    fn overwrite(&mut self, reader: &mut Reader<'de>) -> Result<(), Error>;
}

impl<'de, T: Field<'de>> AnyField<'de> for T {
    fn is_required(&self) -> bool {
        T::IS_REQUIRED
    }

    fn overwrite(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        *self = T::read(reader)?;
        Ok(())
    }
}

/// Implements [`FromJson`] and [`Field`] for a struct: an object with these fields, at most 16. Others are skipped.
macro_rules! object {
    ($type:ident { $($field:ident),* $(,)? }) => {
        $crate::json::object!('de, $type, { $($field),* });
    };
    ($type:ident<$de:lifetime> { $($field:ident),* $(,)? }) => {
        $crate::json::object!($de, $type<$de>, { $($field),* });
    };
    ($de:lifetime, $type:ty, { $($field:ident),* }) => {
        impl<$de> $crate::json::FromJson<$de> for $type {
            fn read(
                reader: &mut $crate::json::Reader<$de>,
            ) -> Result<Self, $crate::json::Error> {
                let mut value = <Self as $crate::json::Field>::empty();
                reader.fields(&mut [$((stringify!($field), &mut value.$field)),*])?;
                Ok(value)
            }
        }

        impl<$de> $crate::json::Field<$de> for $type {
            fn empty() -> Self {
                Self { $($field: $crate::json::Field::empty()),* }
            }
        }
    };
}
pub(crate) use object;

macro_rules! fields {
    ($($type:ty = $empty:expr,)*) => {$(
        impl $crate::json::Field<'_> for $type {
            fn empty() -> Self {
                $empty
            }
        }
    )*};
}
pub(crate) use fields;

fields! {
    u64 = 0,
    u32 = 0,
    u16 = 0,
    bool = false,
    NonZeroU32 = Self::MIN,
    String = Self::new(),
}

impl<'de, T: FromJson<'de>> Field<'de> for Option<T> {
    const IS_REQUIRED: bool = false;

    fn empty() -> Self {
        None
    }
}

impl<'de, T: FromJson<'de>> Field<'de> for Vec<T> {
    const IS_REQUIRED: bool = false;

    fn empty() -> Self {
        Self::new()
    }
}

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
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Arc<T> {
    fn read(reader: &mut Reader<'de>) -> Result<Self, Error> {
        T::read(reader).map(Self::new)
    }
}
