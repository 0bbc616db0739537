//! One value of the database.

/// A parameter or a column. Implement `From<YourType> for Value` to pass types of your own as parameters.
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
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, and every type that has no case of its own: decimal, UUID, timestamp, JSON.
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
