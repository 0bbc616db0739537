//! The rows that a query returned.

use serde::de::DeserializeOwned;

use super::decode::{Cell, RowDeserializer};
use super::{Error, Value};

/// The rows that a query returned, with the names of their columns.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// let rows = db::query("SELECT 7 AS id, 'Chair' AS name", ())?;
/// for row in rows.iter() {
///     assert_eq!(row.get::<String>("name")?, "Chair");
/// }
/// # Ok::<(), db::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// One row of [`Rows`].
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db::{self, Value};
/// let rows = db::query("SELECT 7 AS id", ())?;
/// assert_eq!(rows.iter().next().unwrap().value("id"), Some(&Value::Integer(7)));
/// # Ok::<(), db::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Rows {
    /// The names of the columns, in order.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::query("SELECT 1 AS a, 2 AS b", ())?.columns(), ["a", "b"]);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number of rows.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::query("SELECT 1", ())?.len(), 1);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    ///
    /// ```
    /// assert!(mortise_sdk::db::Rows::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in order.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::db::Rows::default().iter().count(), 0);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// Deserializes each row as `T`.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// let numbers: Vec<i64> = db::query("SELECT 1", ())?.into_vec()?;
    /// assert_eq!(numbers, [1]);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn into_vec<T: DeserializeOwned>(self) -> Result<Vec<T>, Error> {
        let Self { columns, rows } = self;
        rows.into_iter()
            .map(|values| decode_row(&columns, values))
            .collect()
    }

    pub(super) fn into_first<T: DeserializeOwned>(self) -> Result<Option<T>, Error> {
        self.rows
            .into_iter()
            .next()
            .map(|values| decode_row(&self.columns, values))
            .transpose()
    }
}

impl Row<'_> {
    /// The value of a column. If several columns have the name, it is the first one.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// let rows = db::query("SELECT 7 AS id", ())?;
    /// assert_eq!(rows.iter().next().unwrap().value("name"), None);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn value(&self, column: &str) -> Option<&Value> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.values.get(index)
    }

    /// Deserializes the value of a column as `T`.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// let rows = db::query("SELECT NULL AS note", ())?;
    /// assert_eq!(rows.iter().next().unwrap().get::<Option<String>>("note")?, None);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn get<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        let value = self
            .value(column)
            .ok_or_else(|| Error::Decode(format!("there is no column `{column}`")))?;
        if self.columns.iter().filter(|name| *name == column).count() > 1 {
            return Err(Error::Decode(format!(
                "two columns are called `{column}`; name them apart with AS"
            )));
        }
        T::deserialize(Cell {
            column,
            value: value.clone(),
        })
        .map_err(|error| Error::Decode(error.to_string()))
    }
}

pub(super) fn decode_row<T: DeserializeOwned>(columns: &[String], values: Vec<Value>) -> Result<T, Error> {
    T::deserialize(RowDeserializer { columns, values }).map_err(|error| Error::Decode(error.to_string()))
}
