//! A job that is to be added, with everything that can be set.

use std::time::Duration;

use serde::Serialize;

use super::Error;
use crate::db::{self, Transaction};
use crate::host::{Backend, Host};

/// A job that is to be added. Without further settings it has the payload `null`, is due at once,
/// and has the priority 0.
///
/// ```
/// # let host = mortise_sdk::testing::Host::start();
/// use std::time::Duration;
/// use mortise_sdk::jobs::NewJob;
///
/// NewJob::new("remind")
///     .payload(&7)
///     .after(Duration::from_secs(3_600))
///     .unique_key("order-7")
///     .enqueue()?;
/// assert_eq!(host.jobs()[0].run_at - mortise_sdk::time::now(), 3_600_000);
/// # Ok::<(), mortise_sdk::jobs::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `enqueue` or `enqueue_in`"]
pub struct NewJob {
    name: String,
    /// `Err` if the payload cannot be written as JSON.
    payload: Result<String, String>,
    due: Due,
    priority: i32,
    unique_key: Option<String>,
    concurrency_key: Option<String>,
}

/// When a job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    AfterMs(u64),
    /// In milliseconds since 1970 UTC.
    At(i64),
}

/// A job with a payload that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub name: String,
    pub payload: String,
    pub due: Due,
    pub priority: i32,
    pub unique_key: Option<String>,
    pub concurrency_key: Option<String>,
}

impl NewJob {
    /// A job of this name of the manifest.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::jobs::NewJob::new("clean-up").enqueue()?;
    /// assert_eq!(host.jobs()[0].payload, "null");
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            payload: Ok("null".to_owned()),
            due: Due::Now,
            priority: 0,
            unique_key: None,
            concurrency_key: None,
        }
    }

    /// Sets the payload, which is written as JSON. Large data belongs in the database; pass its
    /// key.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::jobs::NewJob::new("index").payload(&[1, 2]).enqueue()?;
    /// assert_eq!(host.jobs()[0].payload, "[1,2]");
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn payload<T: Serialize + ?Sized>(mut self, payload: &T) -> Self {
        self.payload = serde_json::to_string(payload)
            .map_err(|error| format!("the payload cannot be written as JSON: {error}"));
        self
    }

    /// Runs the job no sooner than after this time.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().at(0).start();
    /// use std::time::Duration;
    ///
    /// mortise_sdk::jobs::NewJob::new("remind").after(Duration::from_secs(60)).enqueue()?;
    /// assert_eq!(host.jobs()[0].run_at, 60_000);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn after(mut self, delay: Duration) -> Self {
        self.due = Due::AfterMs(delay.as_millis().try_into().unwrap_or(u64::MAX));
        self
    }

    /// Runs the job no sooner than at this time, in milliseconds since 1970 UTC. A time that has
    /// passed means now.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().at(0).start();
    /// mortise_sdk::jobs::NewJob::new("remind").at(90_000).enqueue()?;
    /// assert_eq!(host.jobs()[0].run_at, 90_000);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn at(mut self, unix_ms: i64) -> Self {
        self.due = Due::At(unix_ms);
        self
    }

    /// Sets the priority, from -1,000 to 1,000. Of the due jobs of a tenant, those with the lowest
    /// number run first. Without a priority it is 0.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// use mortise_sdk::jobs::NewJob;
    ///
    /// NewJob::new("report").priority(10).enqueue()?;
    /// assert!(NewJob::new("report").priority(5_000).enqueue().is_err());
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the unique key. While a job of this name with the same key waits or runs, no other one
    /// is added, and [`enqueue`](Self::enqueue) returns the id of the one that is there. Keys have
    /// at most 200 bytes; those that begin with `schedule:` are for schedules, and refused.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// use mortise_sdk::jobs::NewJob;
    ///
    /// let first = NewJob::new("sync").unique_key("order-7").enqueue()?;
    /// assert_eq!(NewJob::new("sync").unique_key("order-7").enqueue()?, first);
    /// assert_eq!(host.jobs().len(), 1);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// Sets the concurrency key. Of the jobs of this name with the same key, as many run at once as
    /// `concurrency` of the manifest says. Without a key, all jobs of the name share one. Keys that
    /// begin with `schedule:` are refused, as for [`unique_key`](Self::unique_key).
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::jobs::NewJob::new("sync").concurrency_key("customer-7").enqueue()?;
    /// assert_eq!(host.jobs()[0].concurrency_key.as_deref(), Some("customer-7"));
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn concurrency_key(mut self, key: impl Into<String>) -> Self {
        self.concurrency_key = Some(key.into());
        self
    }

    /// Adds the job. Returns its id once the job is stored.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// let id = mortise_sdk::jobs::NewJob::new("clean-up").enqueue()?;
    /// assert_eq!(host.jobs()[0].id, id);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn enqueue(self) -> Result<String, Error> {
        Host::enqueue(self.prepare().map_err(Error::Invalid)?)
    }

    /// Adds the job in a transaction: it exists if and only if the transaction commits. Returns its
    /// id. If another job with the same unique key is there when the transaction has committed,
    /// this one is not added.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// use mortise_sdk::{db, jobs::NewJob};
    ///
    /// let tx = db::begin()?;
    /// NewJob::new("sync").payload(&7).enqueue_in(&tx)?;
    /// assert!(host.jobs().is_empty());
    /// tx.commit()?;
    /// assert_eq!(host.jobs()[0].payload, "7");
    /// # Ok::<(), db::Error>(())
    /// ```
    pub fn enqueue_in(self, transaction: &Transaction) -> Result<String, db::Error> {
        transaction.enqueue_prepared(self.prepare().map_err(db::Error::Invalid)?)
    }

    fn prepare(self) -> Result<Prepared, String> {
        Ok(Prepared {
            name: self.name,
            payload: self.payload?,
            due: self.due,
            priority: self.priority,
            unique_key: self.unique_key,
            concurrency_key: self.concurrency_key,
        })
    }
}
