//! The tenant's own SQL database.
//!
//! One call runs one statement. Parameters are numbered `$1`, `$2`, … and passed as a tuple, or
//! with [`params!`](crate::params). `()` means no parameters.
//!
//! ```
//! use mortise_sdk::{db, testing};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Product {
//!     id: i64,
//!     name: String,
//!     note: Option<String>,
//! }
//!
//! # fn main() -> Result<(), db::Error> {
//! # let tables = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT)";
//! # let _host = testing::Host::builder().sql(tables).start();
//! db::execute("INSERT INTO products (name, note) VALUES ($1, $2)", ("Chair", None::<String>))?;
//! let products: Vec<Product> = db::query_as("SELECT id, name, note FROM products WHERE name = $1", ("Chair",))?;
//! assert_eq!((products[0].id, products[0].name.as_str()), (1, "Chair"));
//! assert!(products[0].note.is_none());
//! # Ok(())
//! # }
//! ```

mod cursor;
mod decode;
mod error;
mod params;
mod rows;
mod transaction;
mod value;

pub use cursor::{Cursor, open};
pub use error::{ConstraintKind, Error, ResultExt};
#[doc(hidden)]
pub use params::values;
pub use params::{Param, Params};
pub use rows::{Row, Rows};
pub use transaction::{Transaction, begin, transaction};
pub use value::{Value, boolean};

use serde::de::DeserializeOwned;

use crate::host::{Backend, Host};

/// Runs a query and returns its rows.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// let rows = db::query("SELECT $1 AS name", ("Ada",))?;
/// assert_eq!(rows.columns(), ["name"]);
/// # Ok::<(), db::Error>(())
/// ```
pub fn query(sql: &str, params: impl Params) -> Result<Rows, Error> {
    Host::query(sql, params.into_values()?)
}

/// Runs a query and deserializes each row as `T` with serde: a struct by column name, a tuple by
/// position, or the value of a single column.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// let numbers: Vec<i64> = db::query_as("SELECT 1 UNION SELECT 2", ())?;
/// assert_eq!(numbers, [1, 2]);
/// # Ok::<(), db::Error>(())
/// ```
pub fn query_as<T: DeserializeOwned>(sql: &str, params: impl Params) -> Result<Vec<T>, Error> {
    query(sql, params)?.into_vec()
}

/// Runs a query and deserializes its first row as `T`. Without a row the error is [`Error::NoRow`].
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// let pair: (i64, String) = db::query_one("SELECT 1, 'one'", ())?;
/// assert_eq!(pair, (1, "one".to_owned()));
/// # Ok::<(), db::Error>(())
/// ```
pub fn query_one<T: DeserializeOwned>(sql: &str, params: impl Params) -> Result<T, Error> {
    query_optional(sql, params)?.ok_or(Error::NoRow)
}

/// Runs a query and deserializes its first row as `T`, if there is one.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// assert_eq!(db::query_optional::<i64>("SELECT 1 WHERE $1", (false,))?, None);
/// # Ok::<(), db::Error>(())
/// ```
pub fn query_optional<T: DeserializeOwned>(sql: &str, params: impl Params) -> Result<Option<T>, Error> {
    query(sql, params)?.into_first()
}

/// Runs a statement and returns the number of changed rows.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE t (a)").start();
/// # use mortise_sdk::db;
/// assert_eq!(db::execute("INSERT INTO t VALUES ($1), ($2)", (1, 2))?, 2);
/// # Ok::<(), db::Error>(())
/// ```
pub fn execute(sql: &str, params: impl Params) -> Result<u64, Error> {
    Host::execute(sql, params.into_values()?)
}
