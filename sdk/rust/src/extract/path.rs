//! The extractor of path parameters, with its serde deserializer.

use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::FromRequest;
use super::parameter::{Parameter, Place};
use crate::{Error, Request};

/// The captured path parameters: one value, a tuple in the order of the pattern, or a struct by
/// name.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// // "/orders/{order}/lines/{line}"
/// fn show(Path((order, line)): Path<(i64, u32)>) -> String {
///     format!("line {line} of order {order}")
/// }
/// # assert_eq!(show(Path((7, 2))), "line 2 of order 7");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Path<T> {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        match T::deserialize(Parameters(&request.params)) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Error::bad_request(error.to_string())),
        }
    }
}

/// All parameters of a route.
struct Parameters<'a>(&'a [(String, String)]);

impl<'a> Parameters<'a> {
    fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        self.0.iter().map(|(name, value)| Parameter {
            place: Place::Path(name),
            value,
        })
    }

    fn single(&self) -> Result<Parameter<'a>, ValueError> {
        let mut all = self.iter();
        match (all.next(), all.next()) {
            (Some(parameter), None) => Ok(parameter),
            _ => Err(ValueError::custom(format!(
                "one path parameter was expected, the route has {}",
                self.0.len()
            ))),
        }
    }
}

macro_rules! delegate_to_single {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.single()?.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Parameters<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let named = self.0.iter().map(|(name, _)| name.as_str());
        visitor.visit_map(MapDeserializer::new(named.zip(self.iter())))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(self.iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ValueError> {
        if length != self.0.len() {
            let expected = format!(
                "{length} path parameters were expected, the route has {}",
                self.0.len()
            );
            return Err(ValueError::custom(expected));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_tuple(length, visitor)
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    delegate_to_single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_option
    }

    forward_to_deserialize_any! { unit unit_struct identifier ignored_any }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn extract<T: DeserializeOwned>(params: &[(&str, &str)]) -> Result<T, Error> {
        let params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Path::from_request(&mut Request {
            params,
            ..Request::default()
        })
        .map(|path| path.0)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(i64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Line {
        order: Id,
        kind: Kind,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Gift,
    }

    #[test]
    fn one_parameter_is_a_value_a_newtype_or_an_enum() {
        assert_eq!(extract::<u32>(&[("id", "7")]).ok(), Some(7));
        assert_eq!(extract::<String>(&[("id", "seven")]).ok(), Some("seven".into()));
        assert_eq!(extract::<Id>(&[("id", "-7")]).ok(), Some(Id(-7)));
        assert_eq!(extract::<Kind>(&[("kind", "gift")]).ok(), Some(Kind::Gift));
    }

    #[test]
    fn several_parameters_are_a_tuple_or_a_struct() {
        let params = [("order", "7"), ("kind", "gift")];
        assert_eq!(extract::<(i64, String)>(&params).ok(), Some((7, "gift".into())));
        assert_eq!(
            extract::<Line>(&params).ok(),
            Some(Line {
                order: Id(7),
                kind: Kind::Gift
            })
        );
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        let error = extract::<u32>(&[("id", "x")]).unwrap_err();
        assert_eq!(
            error.detail(),
            "path parameter `id`: invalid digit found in string"
        );
        assert_eq!(error.status(), 400);
        for (value, expected) in [
            (
                "card",
                "path parameter `kind`: unknown variant `card`, expected `gift`",
            ),
            ("", "path parameter `kind`: unknown variant ``, expected `gift`"),
        ] {
            let error = extract::<Kind>(&[("kind", value)]).unwrap_err();
            assert_eq!(error.detail(), expected);
        }
        let error = extract::<bool>(&[("gift", "yes")]).unwrap_err();
        assert_eq!(
            error.detail(),
            "path parameter `gift`: `yes` is none of `true`, `false`, `1` and `0`"
        );
    }

    #[test]
    fn numbers_are_strict_and_an_empty_value_is_none() {
        assert!(extract::<i64>(&[("id", "5.0")]).is_err());
        assert_eq!(extract::<bool>(&[("on", "1")]).ok(), Some(true));
        assert_eq!(
            extract::<Option<String>>(&[("id", "7")]).ok(),
            Some(Some("7".into()))
        );
    }

    #[test]
    fn a_wrong_number_of_parameters_is_refused() {
        assert!(extract::<(i64, i64)>(&[("id", "7")]).is_err());
        assert!(extract::<i64>(&[("a", "7"), ("b", "8")]).is_err());
    }
}
