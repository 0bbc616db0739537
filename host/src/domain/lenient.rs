//! Deserializes stored JSON of an earlier or later host and ignores unknown keys.
//!
//! In an upload or a request an unknown key is a mistake, so the types refuse it. In a stored value
//! it comes from another version of the host, and must not make the tenant unavailable.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Error, Value};

/// Reads a stored JSON text.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    T::deserialize(Lenient(serde_json::from_str(text)?))
}

/// Deserializes a value that was parsed from another format.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// A value from which a struct only sees the keys that it has.
struct Lenient(Value);

/// An enum variant: its name and its content.
struct Variant(String, Option<Value>);

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Lenient));
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(key, value)| (key, Lenient(value)));
                let mut members = MapDeserializer::new(members);
                let value = visitor.visit_map(&mut members)?;
                members.end().map(|()| value)
            }
            simple => simple.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let known = match self.0 {
            Value::Object(members) => {
                let known = members
                    .into_iter()
                    .filter(|(key, _)| fields.contains(&key.as_str()));
                Value::Object(known.collect())
            }
            other => other,
        };
        Self(known).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(members) if members.len() == 1 => {
                // The map has one member, so the default is never used.
                let (variant, content) = members.into_iter().next().unwrap_or_default();
                visitor.visit_enum(Variant(variant, Some(content)))
            }
            other => other.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name = seed.deserialize(Value::String(self.0.clone()))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(Lenient(self.1.unwrap_or_default()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(Lenient(self.1.unwrap_or_default()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        Lenient(self.1.unwrap_or_default()).deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Lenient(self.1.unwrap_or_default()).deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::domain::grant::Grants;
    use crate::domain::limits::LimitOverrides;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    enum Shape {
        Point,
        Circle(u32),
        Pair(u8, u8),
        Named { side: u64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        shapes: Vec<Shape>,
        #[serde(default)]
        inner: Option<Box<Outer>>,
        text: Option<String>,
    }

    #[test]
    fn unknown_keys_are_left_out_at_every_depth() {
        let value = json!({
            "shapes": ["point", { "circle": 3 }, { "pair": [1, 2] }, { "named": { "side": 4, "new": [] } }],
            "inner": { "shapes": [], "new": { "deep": true }, "text": null },
            "text": "kept", "new": 1,
        });
        assert!(
            serde_json::from_value::<Outer>(value.clone()).is_err(),
            "strictly it is refused"
        );
        let inner = Outer {
            shapes: Vec::new(),
            inner: None,
            text: None,
        };
        let named = Shape::Named { side: 4 };
        let wanted = Outer {
            shapes: vec![Shape::Point, Shape::Circle(3), Shape::Pair(1, 2), named],
            inner: Some(Box::new(inner)),
            text: Some("kept".to_owned()),
        };
        assert_eq!(from_value::<Outer>(value).unwrap(), wanted);
    }

    #[test]
    fn what_has_another_type_is_refused() {
        for value in [
            json!({ "shapes": 1 }),
            json!({ "shapes": ["triangle"] }),
            json!({ "shapes": [{ "circle": "large" }] }),
            json!({ "shapes": [{ "named": {} }] }),
            json!({}),
            json!([]),
        ] {
            assert!(from_value::<Outer>(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn grants_and_limits_of_another_host_are_read() {
        let grants: Grants = from_json(
            r#"{"database":true,"http":["https://api.stripe.com"],"secrets":{"use":["k"],"lend":1},"mail":{}}"#,
        )
        .unwrap();
        assert!(grants.database && grants.secrets.usable.origins("k").is_some());
        assert_eq!(grants.http.len(), 1);
        let limits: LimitOverrides = from_json(r#"{"memory":"32MiB","sql_rows":7,"sockets":9}"#).unwrap();
        assert_eq!((limits.sql_rows, limits.memory.unwrap().0), (Some(7), 32 << 20));
    }
}
