//! Transactions that roll back unless they are committed.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Params, Rows};
use crate::events;
use crate::host::{Backend, Host};
use crate::jobs::{self, NewJob};
use crate::steps;

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

    /// Adds a job that exists if and only if the transaction commits; see
    /// [`jobs::enqueue`](crate::jobs::enqueue). [`NewJob::enqueue_in`] also sets when it is due,
    /// its priority and its keys.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE t (a)").start();
    /// use mortise_sdk::db;
    ///
    /// let tx = db::begin()?;
    /// tx.execute("INSERT INTO t VALUES (7)", ())?;
    /// tx.enqueue("sync", &7)?;
    /// assert!(host.jobs().is_empty());
    /// tx.commit()?;
    /// assert_eq!(host.jobs()[0].name, "sync");
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn enqueue<T: Serialize + ?Sized>(&self, name: &str, payload: &T) -> Result<String, Error> {
        NewJob::new(name).payload(payload).enqueue_in(self)
    }

    pub(crate) fn enqueue_prepared(&self, job: jobs::Prepared) -> Result<String, Error> {
        Host::transaction_enqueue(&self.handle, job)
    }

    /// Publishes an event if and only if the transaction commits; see
    /// [`events::publish`](crate::events::publish).
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// use mortise_sdk::db;
    ///
    /// let tx = db::begin()?;
    /// tx.publish("order.created", &7)?;
    /// tx.rollback()?;
    /// assert!(host.events().is_empty());
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn publish<T: Serialize + ?Sized>(&self, topic: &str, data: &T) -> Result<String, Error> {
        let data = events::to_json(data).map_err(Error::Invalid)?;
        Host::transaction_publish(&self.handle, topic, data)
    }

    /// Marks the running job as done if and only if the transaction commits: its changes of the
    /// database happen exactly once, even if the host stops before it knows that the job is done.
    /// Whatever the handler returns afterwards, the job is done.
    ///
    /// If another attempt of the job completed it, the error is a [`Conflict`](Error::Conflict),
    /// and the transaction can only be rolled back. Outside of a job the call is
    /// [`Invalid`](Error::Invalid).
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// fn book(amount: i64) -> Result<(), Error> {
    ///     db::transaction(|tx| {
    ///         tx.execute("UPDATE account SET balance = balance + $1", (amount,))?;
    ///         tx.complete()?;
    ///         Ok(())
    ///     })
    /// }
    ///
    /// mortise_sdk::jobs! { "book" => book }
    /// # let sql = "CREATE TABLE account (balance INTEGER); INSERT INTO account VALUES (0)";
    /// # let host = mortise_sdk::testing::Host::builder().sql(sql).start();
    /// # jobs::enqueue("book", &5).unwrap();
    /// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
    /// # assert_eq!(db::query_one::<i64>("SELECT balance FROM account", ()).unwrap(), 5);
    /// ```
    pub fn complete(&self) -> Result<(), Error> {
        Host::complete(&self.handle)
    }

    /// Stores the result of a step of the running job in the transaction. A result that is stored
    /// already stays. [`steps::load`](crate::steps::load) reads it.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// fn import(_: ()) -> Result<(), Error> {
    ///     let tx = db::begin()?;
    ///     tx.execute("INSERT INTO pages VALUES (1)", ())?;
    ///     tx.store_step("page-1", &true)?;
    ///     Ok(tx.commit()?)
    /// }
    ///
    /// mortise_sdk::jobs! { "import" => import }
    /// # let host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE pages (number INTEGER)").start();
    /// # jobs::enqueue("import", &()).unwrap();
    /// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
    /// ```
    pub fn store_step<T: Serialize + ?Sized>(&self, name: &str, result: &T) -> Result<(), Error> {
        Host::transaction_store_step(&self.handle, name, &steps::to_json(name, result)?)
    }

    /// Runs a step of the running job in this transaction, and stores its result with its changes.
    /// If an earlier transaction stored the result, the step does not run again, and the stored
    /// result is returned. Use a name only once in a transaction.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// fn import(_: ()) -> Result<(), Error> {
    ///     db::transaction(|tx| {
    ///         let number: i64 = tx.step("first", || {
    ///             let sql = "INSERT INTO pages (number) VALUES (1) RETURNING number";
    ///             tx.query_one(sql, ())
    ///         })?;
    ///         assert_eq!(number, 1);
    ///         Ok(())
    ///     })
    /// }
    ///
    /// mortise_sdk::jobs! { "import" => import }
    /// # let host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE pages (number INTEGER)").start();
    /// # jobs::enqueue("import", &()).unwrap();
    /// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
    /// ```
    pub fn step<T, E>(&self, name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error> + From<steps::Error>,
    {
        if let Some(result) = steps::load(name)? {
            return Ok(result);
        }
        let result = work()?;
        self.store_step(name, &result)?;
        Ok(result)
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
