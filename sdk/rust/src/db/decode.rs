//! Deserializes rows and values with serde.

use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Value;

/// A row: a map by column name, a sequence by position, or the value of its single column.
pub(super) struct RowDeserializer<'a> {
    pub columns: &'a [String],
    pub values: Vec<Value>,
}

/// A value with the name of its column, for error messages.
pub(super) struct Cell<'a> {
    pub column: &'a str,
    pub value: Value,
}

impl<'a> RowDeserializer<'a> {
    fn cells(self) -> impl Iterator<Item = Cell<'a>> {
        self.columns
            .iter()
            .zip(self.values)
            .map(|(column, value)| Cell { column, value })
    }

    fn visit_map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(MapDeserializer::new(self.cells().map(|cell| (cell.column, cell))))
    }

    fn single(self) -> Result<Cell<'a>, ValueError> {
        let count = self.values.len();
        let mut cells = self.cells();
        match (cells.next(), cells.next()) {
            (Some(cell), None) => Ok(cell),
            _ => Err(ValueError::custom(format!(
                "one column was expected, the query answers {count}"
            ))),
        }
    }
}

/// The error message if two columns have the same name.
fn column_twice(columns: &[String]) -> Option<String> {
    let is_twice =
        |(index, name): &(usize, &String)| columns.iter().skip(index + 1).any(|other| other == *name);
    let (_, name) = columns.iter().enumerate().find(is_twice)?;
    Some(format!(
        "two columns are called `{name}`; name them apart with AS, or read the row as a tuple"
    ))
}

macro_rules! delegate_to_single {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.single()?.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for RowDeserializer<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    /// A map keeps one value per name, so a second column with the same name would be lost.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if let Some(twice) = column_twice(self.columns) {
            return Err(ValueError::custom(twice));
        }
        self.visit_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        // A struct itself rejects a duplicate of one of its fields.
        self.visit_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        // A single blob deserializes as its bytes; any other row as the sequence of its columns.
        if let [Value::Blob(_)] = self.values.as_slice() {
            return self.single()?.deserialize_seq(visitor);
        }
        visitor.visit_seq(SeqDeserializer::new(self.cells()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ValueError> {
        let count = self.values.len();
        if count != length {
            return Err(ValueError::custom(format!(
                "{length} columns were expected, the query answers {count}"
            )));
        }
        visitor.visit_seq(SeqDeserializer::new(self.cells()))
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

impl Cell<'_> {
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let result = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Integer(value) => visitor.visit_i64(value),
            Value::Real(value) => visitor.visit_f64(value),
            Value::Text(value) => visitor.visit_string(value),
            Value::Blob(value) => visitor.visit_byte_buf(value),
        };
        result.map_err(|error: ValueError| ValueError::custom(format!("column `{}`: {error}", self.column)))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            let value = match self.value {
                Value::Boolean(value) => Value::Integer(value.into()),
                value => value,
            };
            Cell { value, ..self }.visit(visitor)
        })*
    };
}

macro_rules! as_it_is {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.visit(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Cell<'_> {
    type Error = ValueError;

    /// Bytes deserialize as a list here. The values that serde buffers for `#[serde(flatten)]` and
    /// untagged enums would otherwise fit only byte types, and JSON values accept no bytes.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.value == Value::Null {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    /// SQLite stores booleans as 0 and 1.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let value = match self.value {
            Value::Integer(0) => Value::Boolean(false),
            Value::Integer(1) => Value::Boolean(true),
            value => value,
        };
        Cell { value, ..self }.visit(visitor)
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
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
        let column = self.column;
        let named = |error: ValueError| ValueError::custom(format!("column `{column}`: {error}"));
        match self.value {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()).map_err(named),
            value => Cell { column, value }.visit(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.value {
            Value::Blob(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            value => Cell { value, ..self }.visit(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    as_it_is! {
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_map deserialize_identifier deserialize_ignored_any
    }

    forward_to_deserialize_any! { unit_struct tuple_struct struct }
}

impl IntoDeserializer<'_, ValueError> for Cell<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::super::rows::decode_row;
    use super::super::{Error, Value};

    fn decode<T: DeserializeOwned>(row: &[(&str, Value)]) -> Result<T, Error> {
        let columns: Vec<_> = row.iter().map(|(name, _)| (*name).to_owned()).collect();
        decode_row(&columns, row.iter().map(|(_, value)| value.clone()).collect())
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Paid,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        id: u32,
        gift: bool,
        status: Status,
        note: Option<String>,
        weight: f64,
        seal: Vec<u8>,
    }

    #[test]
    fn a_struct_is_read_by_column_name() {
        let row = [
            ("seal", Value::Blob(vec![1, 2])),
            ("weight", Value::Integer(2)),
            ("note", Value::Null),
            ("status", Value::from("paid")),
            ("gift", Value::Integer(1)),
            ("id", Value::Integer(7)),
        ];
        let expected = Order {
            id: 7,
            gift: true,
            status: Status::Paid,
            note: None,
            weight: 2.0,
            seal: vec![1, 2],
        };
        assert_eq!(decode::<Order>(&row), Ok(expected));
    }

    #[test]
    fn a_single_column_is_a_value() {
        assert_eq!(decode::<i64>(&[("n", Value::Integer(7))]), Ok(7));
        assert_eq!(decode::<Option<i64>>(&[("n", Value::Null)]), Ok(None));
        assert_eq!(decode::<Vec<u8>>(&[("b", Value::Blob(vec![9]))]), Ok(vec![9]));
        assert_eq!(decode::<(bool,)>(&[("b", Value::Boolean(true))]), Ok((true,)));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Item {
        id: i64,
        #[serde(flatten)]
        state: State,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct State {
        #[serde(deserialize_with = "crate::db::boolean")]
        active: bool,
        seal: Vec<u8>,
        count: u64,
    }

    #[test]
    fn flattened_fields_are_read_as_others_are() {
        for truth in [Value::Integer(1), Value::Boolean(true)] {
            let row = [
                ("id", Value::Integer(7)),
                ("active", truth),
                ("seal", Value::Blob(vec![1, 255])),
                ("count", Value::Integer(1)),
            ];
            let state = State {
                active: true,
                seal: vec![1, 255],
                count: 1,
            };
            assert_eq!(decode::<Item>(&row), Ok(Item { id: 7, state }));
        }
        let row = [("id", Value::Integer(7)), ("active", Value::Integer(2))];
        assert!(matches!(decode::<Item>(&row), Err(Error::Decode(why)) if why.contains("0 or 1")));
    }

    #[test]
    fn a_json_value_takes_every_kind_of_column() {
        let row = [
            ("truth", Value::Integer(1)),
            ("bytes", Value::Blob(vec![1, 2])),
            ("none", Value::Null),
            ("text", Value::from("a")),
            ("real", Value::Real(0.5)),
        ];
        let expected =
            serde_json::json!({"truth": 1, "bytes": [1, 2], "none": null, "text": "a", "real": 0.5});
        assert_eq!(decode::<serde_json::Value>(&row), Ok(expected));
    }

    #[test]
    fn an_error_names_the_column() {
        let negative = decode::<(u32, i64)>(&[("stock", Value::Integer(-1)), ("b", Value::Integer(1))]);
        assert!(matches!(negative, Err(Error::Decode(why)) if why.contains("`stock`") && why.contains("-1")));
        let null = decode::<String>(&[("name", Value::Null)]);
        assert!(matches!(null, Err(Error::Decode(why)) if why.contains("`name`")));
    }

    #[test]
    fn a_name_that_two_columns_have_is_an_error_where_one_would_be_lost() {
        let row = [
            ("id", Value::Integer(1)),
            ("n", Value::Integer(2)),
            ("id", Value::Integer(3)),
        ];
        let says = |error: Error, part: &str| {
            assert!(
                matches!(&error, Error::Decode(why) if why.contains(part)),
                "{error:?}"
            );
        };
        says(
            decode::<BTreeMap<String, i64>>(&row).unwrap_err(),
            "two columns are called `id`",
        );
        says(
            decode::<serde_json::Value>(&row).unwrap_err(),
            "two columns are called `id`",
        );

        #[derive(Debug, Deserialize)]
        struct Id {
            #[expect(dead_code, reason = "it is not read")]
            id: i64,
        }
        says(decode::<Id>(&row).unwrap_err(), "duplicate field `id`");

        #[derive(Debug, PartialEq, Deserialize)]
        struct Number {
            n: i64,
        }
        assert_eq!(decode::<Number>(&row), Ok(Number { n: 2 }));
        assert_eq!(decode::<(i64, i64, i64)>(&row), Ok((1, 2, 3)));
    }

    #[test]
    fn a_wrong_number_of_columns_is_an_error() {
        assert!(decode::<(i64, i64)>(&[("a", Value::Integer(1))]).is_err());
        assert!(decode::<i64>(&[("a", Value::Integer(1)), ("b", Value::Integer(2))]).is_err());
    }
}
