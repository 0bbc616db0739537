//! A value of a parameter or a column.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A value of a parameter or a column. Implement `From<YourType> for Value` to pass your own types
/// as parameters.
///
/// ```
/// use mortise_sdk::db::Value;
///
/// enum Status { Paid }
///
/// impl From<Status> for Value {
///     fn from(_: Status) -> Self {
///         Self::from("paid")
///     }
/// }
/// assert_eq!(Value::from(Status::Paid), Value::Text("paid".into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// A boolean parameter. SQLite has no booleans: a column, even one declared `BOOLEAN`, returns
    /// [`Integer`](Self::Integer) 0 or 1, which deserializes as a `bool`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, and every type without its own variant: decimal, UUID, timestamp, JSON.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! value_from {
    ($($from:ty => |$name:ident| $make:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($name: $from) -> Self {
                $make
            }
        })*
    };
}

value_from! {
    bool => |value| Self::Boolean(value);
    i8 => |value| Self::Integer(value.into());
    i16 => |value| Self::Integer(value.into());
    i32 => |value| Self::Integer(value.into());
    i64 => |value| Self::Integer(value);
    u8 => |value| Self::Integer(value.into());
    u16 => |value| Self::Integer(value.into());
    u32 => |value| Self::Integer(value.into());
    f32 => |value| Self::Real(value.into());
    f64 => |value| Self::Real(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    &String => |value| Self::Text(value.clone());
    &[u8] => |value| Self::Blob(value.to_vec());
    Vec<u8> => |value| Self::Blob(value);
    &Vec<u8> => |value| Self::Blob(value.clone());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Deserializes a `bool` from 0 and 1, for
/// `#[serde(deserialize_with = "mortise_sdk::db::boolean")]`. It is needed only for a field that
/// serde flattens or that is part of an untagged enum, because serde buffers the 0 or 1 before it
/// knows that a `bool` is wanted.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::db;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Product {
///     id: i64,
///     #[serde(flatten)]
///     state: State,
/// }
///
/// #[derive(Deserialize)]
/// struct State {
///     #[serde(deserialize_with = "mortise_sdk::db::boolean")]
///     active: bool,
/// }
///
/// let product: Product = db::query_one("SELECT 7 AS id, TRUE AS active", ())?;
/// assert!(product.state.active);
/// # Ok::<(), db::Error>(())
/// ```
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(BooleanVisitor)
}

struct BooleanVisitor;

impl Visitor<'_> for BooleanVisitor {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a boolean, 0 or 1")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        match value {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(E::invalid_value(serde::de::Unexpected::Signed(other), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }
}
