//! Transactions that roll back unless they are committed.

use serde::de::DeserializeOwned;

use super::{Error, Params, Rows};
use crate::host::{Backend, Host};

/// An open transaction. It is rolled back if it is dropped, and after a trap or a timeout.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE t (a)").start();
/// use mortise_sdk::db;
///
/// let tx = db::begin()?;
/// tx.execute("INSERT INTO t VALUES ($1)", (1,))?;
/// drop(tx);
/// assert_eq!(db::query_one::<i64>("SELECT count(*) FROM t", ())?, 0);
/// # Ok::<(), db::Error>(())
/// ```
#[derive(Debug)]
pub struct Transaction {
    handle: <Host as Backend>::Transaction,
}

/// Opens a transaction.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::db;
/// let tx = db::begin()?;
/// tx.commit()?;
/// # Ok::<(), db::Error>(())
/// ```
pub fn begin() -> Result<Transaction, Error> {
    Ok(Transaction {
        handle: Host::begin()?,
    })
}

/// Runs a function in a transaction: `Ok` commits, `Err` rolls back.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE t (a)").start();
/// use mortise_sdk::prelude::*;
///
/// let result = db::transaction(|tx| {
///     tx.execute("INSERT INTO t VALUES ($1)", (1,))?;
///     Err::<(), _>(Error::conflict("changed my mind"))
/// });
/// assert_eq!(result.unwrap_err().status(), 409);
/// assert_eq!(db::query_one::<i64>("SELECT count(*) FROM t", ())?, 0);
/// # Ok::<(), db::Error>(())
/// ```
pub fn transaction<T, E: From<Error>>(run: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    let transaction = begin()?;
    let value = run(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

impl Transaction {
    /// Like [`db::query`](super::query), within the transaction.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::begin()?.query("SELECT 1", ())?.len(), 1);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn query(&self, sql: &str, params: impl Params) -> Result<Rows, Error> {
        Host::transaction_query(&self.handle, sql, params.into_values()?)
    }

    /// Like [`db::query_as`](super::query_as), within the transaction.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::begin()?.query_as::<i64>("SELECT 1", ())?, [1]);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn query_as<T: DeserializeOwned>(&self, sql: &str, params: impl Params) -> Result<Vec<T>, Error> {
        self.query(sql, params)?.into_vec()
    }

    /// Like [`db::query_one`](super::query_one), within the transaction.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::begin()?.query_one::<i64>("SELECT 1", ())?, 1);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn query_one<T: DeserializeOwned>(&self, sql: &str, params: impl Params) -> Result<T, Error> {
        self.query_optional(sql, params)?.ok_or(Error::NoRow)
    }

    /// Like [`db::query_optional`](super::query_optional), within the transaction.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::begin()?.query_optional::<i64>("SELECT 1 WHERE 0", ())?, None);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn query_optional<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>, Error> {
        self.query(sql, params)?.into_first()
    }

    /// Like [`db::execute`](super::execute), within the transaction.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE t (a)").start();
    /// # use mortise_sdk::db;
    /// assert_eq!(db::begin()?.execute("INSERT INTO t VALUES (1)", ())?, 1);
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<u64, Error> {
        Host::transaction_execute(&self.handle, sql, params.into_values()?)
    }

    /// Commits the changes.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// db::begin()?.commit()?;
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn commit(self) -> Result<(), Error> {
        Host::commit(&self.handle)
    }

    /// Rolls the changes back. Dropping does the same, but this call reports errors.
    ///
    /// ```
    /// # let _host = mortise_sdk::testing::Host::start();
    /// # use mortise_sdk::db;
    /// db::begin()?.rollback()?;
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn rollback(self) -> Result<(), Error> {
        Host::rollback(&self.handle)
    }
}
