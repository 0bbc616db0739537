//! Cursors, which read large results in pieces.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::rows::decode_row;
use super::{Error, Params, Rows, Value};
use crate::host::{Backend, Host};

/// A query whose rows are read in pieces, so that they need not all be in memory.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::db;
///
/// let cursor = db::open("SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3", ())?;
/// let mut sum = 0;
/// for number in cursor.rows::<i64>(2) {
///     sum += number?;
/// }
/// assert_eq!(sum, 6);
/// # Ok::<(), db::Error>(())
/// ```
#[derive(Debug)]
pub struct Cursor {
    handle: <Host as Backend>::Cursor,
}

/// Starts a query whose rows are read in pieces.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// assert_eq!(db::open("SELECT 1 AS n", ())?.columns(), ["n"]);
/// # Ok::<(), db::Error>(())
/// ```
pub fn open(sql: &str, params: impl Params) -> Result<Cursor, Error> {
    Ok(Cursor {
        handle: Host::open(sql, params.into_values()?)?,
    })
}

impl Cursor {
    /// The names of the columns, in order.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::open("SELECT 1 AS n", ())?.columns(), ["n"]);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn columns(&self) -> Vec<String> {
        Host::cursor_columns(&self.handle)
    }

    /// Reads the next rows, at most `max`. An empty result marks the end.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// let mut cursor = db::open("SELECT 1", ())?;
    /// assert_eq!(cursor.next(10)?.len(), 1);
    /// assert!(cursor.next(10)?.is_empty());
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn next(&mut self, max: u32) -> Result<Rows, Error> {
        Ok(Rows {
            rows: Host::cursor_next(&self.handle, max)?,
            columns: self.columns(),
        })
    }

    /// Iterates over all rows as `T`, fetched `batch` at a time. The iteration ends after the first
    /// error.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// let pairs: Result<Vec<(i64, String)>, db::Error> = db::open("SELECT 1, 'one'", ())?.rows(100).collect();
    /// assert_eq!(pairs?, [(1, "one".to_owned())]);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn rows<T: DeserializeOwned>(self, batch: u32) -> impl Iterator<Item = Result<T, Error>> {
        TypedRows {
            columns: self.columns(),
            cursor: self,
            batch: batch.max(1),
            fetched: Vec::new().into_iter(),
            ended: false,
            row: PhantomData,
        }
    }
}

struct TypedRows<T> {
    cursor: Cursor,
    columns: Vec<String>,
    batch: u32,
    fetched: std::vec::IntoIter<Vec<Value>>,
    ended: bool,
    row: PhantomData<T>,
}

impl<T: DeserializeOwned> Iterator for TypedRows<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.fetched.len() == 0 {
            match Host::cursor_next(&self.cursor.handle, self.batch) {
                Ok(rows) => self.fetched = rows.into_iter(),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        let row = self
            .fetched
            .next()
            .map(|values| decode_row(&self.columns, values));
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}
