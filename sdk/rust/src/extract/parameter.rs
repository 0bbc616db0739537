//! Deserializes one parameter of a path or a query string.

use std::fmt;

use serde::de::value::Error as ValueError;
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The location and name of a parameter, for error messages.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Path(&'a str),
    Query(&'a str),
}

/// One parameter. Its text is parsed as the requested type.
#[derive(Clone, Copy)]
pub(super) struct Parameter<'a> {
    pub place: Place<'a>,
    pub value: &'a str,
}

impl Place<'_> {
    /// Creates an error that names the parameter.
    pub fn error(self, why: impl fmt::Display) -> ValueError {
        ValueError::custom(format_args!("{self}: {why}"))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(name) => write!(formatter, "path parameter `{name}`"),
            Self::Query(name) => write!(formatter, "query parameter `{name}`"),
        }
    }
}

macro_rules! parse_value {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.value.parse() {
                Ok(value) => visitor.$visit(value).map_err(|error: ValueError| self.place.error(error)),
                Err(error) => Err(self.place.error(error)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Parameter<'_> {
    type Error = ValueError;

    parse_value! {
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let value = match self.value {
            "true" | "1" => true,
            "false" | "0" => false,
            other => {
                let why = format_args!("`{other}` is none of `true`, `false`, `1` and `0`");
                return Err(self.place.error(why));
            }
        };
        visitor.visit_bool(value)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let named = |error: ValueError| self.place.error(error);
        visitor.visit_str(self.value).map_err(named)
    }

    /// A parameter without a value counts as absent.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.value.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let named = |error: ValueError| self.place.error(error);
        visitor.visit_enum(self.value.into_deserializer()).map_err(named)
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, ValueError> for Parameter<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
