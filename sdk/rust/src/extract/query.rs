//! The extractor of the query string, with its serde deserializer.

use std::collections::BTreeMap;

use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::FromRequest;
use super::parameter::{Parameter, Place};
use crate::{Error, Request};

/// The query string, deserialized with serde: a struct with one field per parameter.
///
/// | field | takes |
/// | --- | --- |
/// | `Option<T>` | nothing, and `?limit=` without a value, as `None` |
/// | `#[serde(default)]` | nothing, as the default |
/// | `Vec<T>` | every value of a parameter that repeats: `?id=1&id=2`; with `#[serde(default)]` also none |
/// | `bool` | `true`, `false`, `1`, `0` |
///
/// A rejection names the parameter. A repeated parameter is rejected if the field has one value.
/// With `#[serde(flatten)]` serde reads every value as text.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page {
///     limit: Option<u32>,
///     #[serde(default)]
///     tag: Vec<String>,
/// }
///
/// fn list(Query(page): Query<Page>) -> String {
///     format!("{} items of {:?}", page.limit.unwrap_or(20), page.tag)
/// }
///
/// mortise_sdk::routes! { GET "/items" => list }
///
/// let host = mortise_sdk::testing::Host::start();
/// let get = |path| host.request("GET", path).send(&APP);
/// assert_eq!(get("/items?limit=&tag=a&tag=b").text(), r#"20 items of ["a", "b"]"#);
/// assert!(get("/items?limit=abc").text().contains("query parameter `limit`"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        let query = request.query.as_deref().unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        match T::deserialize(Pairs(&pairs)) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Error::bad_request(format!(
                "the query string is not what was expected: {error}"
            ))),
        }
    }
}

/// All pairs of a query string, in order.
struct Pairs<'a>(&'a [(String, String)]);

/// The values of one parameter, at least one.
struct Values<'a> {
    name: &'a str,
    values: Vec<&'a str>,
    many: Many,
}

/// What happens to several values if the field has only one.
#[derive(Clone, Copy)]
enum Many {
    /// A struct field has one value, so the request is rejected.
    Refused,
    /// A map keeps the last value.
    Last,
}

impl<'a> Pairs<'a> {
    /// The parameters in the order of their first values.
    fn grouped(&self, many: Many) -> impl Iterator<Item = (&'a str, Values<'a>)> + use<'a> {
        let mut parameters: Vec<Values<'a>> = Vec::new();
        let mut places = BTreeMap::new();
        for (name, value) in self.0 {
            let place = *places.entry(name.as_str()).or_insert(parameters.len());
            match parameters.get_mut(place) {
                Some(known) => known.values.push(value),
                None => parameters.push(Values {
                    name,
                    values: vec![value],
                    many,
                }),
            }
        }
        parameters.into_iter().map(|values| (values.name, values))
    }
}

impl<'de> Deserializer<'de> for Pairs<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(MapDeserializer::new(self.grouped(Many::Last)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_map(MapDeserializer::new(self.grouped(Many::Refused)))
    }

    /// A list of pairs.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let pairs = self.0.iter().map(|(name, value)| {
            let place = Place::Query(name);
            (name.as_str(), Parameter { place, value })
        });
        visitor.visit_seq(MapDeserializer::new(pairs))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.0.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf tuple tuple_struct
        enum identifier ignored_any
    }
}

impl<'a> Values<'a> {
    fn parameters(&self) -> impl Iterator<Item = Parameter<'a>> {
        let place = Place::Query(self.name);
        self.values.iter().map(move |&value| Parameter { place, value })
    }

    fn single(&self) -> Result<Parameter<'a>, ValueError> {
        let place = Place::Query(self.name);
        match (self.values.as_slice(), self.many) {
            ([value], _) | ([.., value], Many::Last) => Ok(Parameter { place, value }),
            (values, _) => Err(place.error(format_args!("one value was expected, not {}", values.len()))),
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

impl<'de> Deserializer<'de> for Values<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.values.as_slice() {
            [_] => self.single()?.deserialize_any(visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(self.parameters()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ValueError> {
        if self.values.len() != length {
            let why = format_args!("{length} values were expected, not {}", self.values.len());
            return Err(Place::Query(self.name).error(why));
        }
        self.deserialize_seq(visitor)
    }

    /// Several values are a list; a single empty value counts as absent.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.values.as_slice() {
            [""] => visitor.visit_none(),
            _ => visitor.visit_some(self),
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    delegate_to_single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf
    }

    forward_to_deserialize_any! { unit unit_struct tuple_struct map struct identifier }
}

impl IntoDeserializer<'_, ValueError> for Values<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    fn extract<T: DeserializeOwned>(query: &str) -> Result<T, String> {
        let mut request = Request {
            query: Some(query.to_owned()),
            ..Request::default()
        };
        match Query::from_request(&mut request) {
            Ok(Query(value)) => Ok(value),
            Err(error) => Err(error.detail().to_owned()),
        }
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Search {
        limit: Option<u32>,
        id: Vec<i64>,
        tags: Option<Vec<String>>,
        on: bool,
        text: String,
        kind: Option<Kind>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        New,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Needed {
        page: u8,
    }

    #[test]
    fn each_field_takes_what_it_is() {
        let search = extract::<Search>("limit=5&id=1&id=2&on=1&text=a+b%20c&kind=new&tags=x");
        let expected = Search {
            limit: Some(5),
            id: vec![1, 2],
            tags: Some(vec!["x".into()]),
            on: true,
            text: "a b c".into(),
            kind: Some(Kind::New),
        };
        assert_eq!(search, Ok(expected));
    }

    #[test]
    fn a_parameter_without_a_value_is_an_absent_option() {
        assert_eq!(
            extract::<Search>("limit=&kind=&tags=&text="),
            Ok(Search::default())
        );
        assert_eq!(extract::<Search>("limit"), Ok(Search::default()));
        assert_eq!(extract::<Search>(""), Ok(Search::default()));
    }

    #[test]
    fn truth_is_written_in_two_ways() {
        for (text, expected) in [("true", true), ("1", true), ("false", false), ("0", false)] {
            assert_eq!(
                extract::<Search>(&format!("on={text}")).map(|search| search.on),
                Ok(expected)
            );
        }
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        for (query, expected) in [
            (
                "limit=abc",
                "query parameter `limit`: invalid digit found in string",
            ),
            (
                "limit=5.0",
                "query parameter `limit`: invalid digit found in string",
            ),
            (
                "limit=1&limit=2",
                "query parameter `limit`: one value was expected, not 2",
            ),
            ("id=1&id=x", "query parameter `id`: invalid digit found in string"),
            (
                "on=yes",
                "query parameter `on`: `yes` is none of `true`, `false`, `1` and `0`",
            ),
            (
                "kind=old",
                "query parameter `kind`: unknown variant `old`, expected `new`",
            ),
        ] {
            let refusal = extract::<Search>(query).unwrap_err();
            assert_eq!(
                refusal,
                format!("the query string is not what was expected: {expected}")
            );
        }
        assert!(
            extract::<Needed>("")
                .unwrap_err()
                .contains("missing field `page`")
        );
        assert!(
            extract::<Needed>("page=256")
                .unwrap_err()
                .contains("`page`: number too large")
        );
    }

    #[test]
    fn unknown_parameters_are_ignored_and_may_repeat() {
        assert_eq!(extract::<Needed>("utm=a&page=7&utm=b"), Ok(Needed { page: 7 }));
    }

    #[test]
    fn maps_lists_of_pairs_and_nothing_can_be_asked_for() {
        let last: HashMap<String, String> = [("a".to_owned(), "2".to_owned())].into();
        assert_eq!(extract("a=1&a=2"), Ok(last));
        let all: BTreeMap<String, Vec<i64>> =
            [("a".to_owned(), vec![1, 2]), ("b".to_owned(), vec![3])].into();
        assert_eq!(extract("a=1&b=3&a=2"), Ok(all));
        let pairs = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(extract("a=1&a=2"), Ok(pairs));
        assert_eq!(extract("a=1"), Ok(()));
        assert_eq!(extract::<Option<Needed>>(""), Ok(None));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Nested {
        text: String,
        #[serde(flatten)]
        rest: BTreeMap<String, serde_json::Value>,
    }

    #[test]
    fn what_is_flattened_is_text_and_a_list_if_it_repeats() {
        let nested = extract::<Nested>("text=a&b=1&c=2&c=3").unwrap();
        assert_eq!(nested.rest["b"], "1");
        assert_eq!(nested.rest["c"], serde_json::json!(["2", "3"]));
    }
}
