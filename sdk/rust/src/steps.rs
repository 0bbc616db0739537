//! Durable steps: parts of a job whose results are stored in the tenant's database, so that a later
//! attempt of the job does not repeat them.
//!
//! ```
//! use mortise_sdk::prelude::*;
//!
//! fn pay(cents: i64, job: &Job) -> Result<(), Error> {
//!     let charge: String = steps::step("charge", || {
//!         Ok::<_, Error>(http::post("https://payments.example/charges").json(&cents).send()?.json()?)
//!     })?;
//!     if job.attempt == 1 {
//!         return Err(Error::unavailable("the charge cannot be booked"));
//!     }
//!     db::execute("INSERT INTO charges VALUES ($1)", (charge,))?;
//!     Ok(())
//! }
//!
//! mortise_sdk::jobs! { "pay" => pay }
//! # use std::cell::Cell;
//! # let charges = Cell::new(0);
//! # let host = mortise_sdk::testing::Host::builder()
//! #     .sql("CREATE TABLE charges (id TEXT)")
//! #     .http(move |_| {
//! #         charges.set(charges.get() + 1);
//! #         Ok(http::Response::new(200).with_body(format!("\"charge-{}\"", charges.get())))
//! #     })
//! #     .start();
//! # jobs::enqueue("pay", &990).unwrap();
//! # host.run_jobs(&JOBS);
//! # host.advance(std::time::Duration::from_secs(1));
//! # host.run_jobs(&JOBS);
//! # assert_eq!(db::query_one::<String>("SELECT id FROM charges", ()).unwrap(), "charge-1");
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Backend, Host};

/// A step whose result was not read or stored.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::steps;
///
/// // There are steps within a job only.
/// assert!(matches!(steps::load::<u32>("charge"), Err(steps::Error::Invalid(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The invocation is no job, the database is not granted, or the name is longer than 100 bytes.
    Invalid(String),
    /// The result is larger than the plan allows, or the job has as many steps as it may.
    Limit(String),
    /// The database cannot be reached.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
    /// The stored result is not of the Rust type, or the result cannot be written as JSON.
    Json(String),
}

/// Runs a step of a job and stores its result. If an attempt of the job stored the result before,
/// the step does not run again, and the stored result is returned.
///
/// The result is stored after the step has run. If the job is ended in between, the step runs
/// again. For changes of the database use [`Transaction::step`](crate::db::Transaction::step),
/// which stores the result together with the changes.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn pay(cents: i64) -> Result<(), Error> {
///     let charge: String = steps::step("charge", || {
///         Ok::<_, Error>(http::post("https://payments.example/charges").json(&cents).send()?.json()?)
///     })?;
///     db::execute("INSERT INTO charges VALUES ($1)", (charge,))?;
///     Ok(())
/// }
///
/// mortise_sdk::jobs! { "pay" => pay }
/// # let host = mortise_sdk::testing::Host::builder()
/// #     .sql("CREATE TABLE charges (id TEXT)")
/// #     .http(|_| Ok(http::Response::new(200).with_body("\"c-1\"")))
/// #     .start();
/// # jobs::enqueue("pay", &990).unwrap();
/// # host.run_jobs(&JOBS);
/// # assert_eq!(db::query_one::<String>("SELECT id FROM charges", ()).unwrap(), "c-1");
/// ```
pub fn step<T, E>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    E: From<Error>,
{
    if let Some(result) = load(name)? {
        return Ok(result);
    }
    let result = work()?;
    store(name, &result)?;
    Ok(result)
}

/// The result of a step that this attempt or an earlier one stored.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn import(_: ()) -> Result<(), Error> {
///     let done: u32 = steps::load("page")?.unwrap_or(0);
///     steps::store("page", &(done + 1))?;
///     Ok(())
/// }
///
/// mortise_sdk::jobs! { "import" => import }
/// # let host = mortise_sdk::testing::Host::start();
/// # jobs::enqueue("import", &()).unwrap();
/// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
/// ```
pub fn load<T: DeserializeOwned>(name: &str) -> Result<Option<T>, Error> {
    let Some(result) = Host::load_step(name)? else {
        return Ok(None);
    };
    serde_json::from_str(&result)
        .map(Some)
        .map_err(|error| Error::Json(format!("the stored result of the step `{name}`: {error}")))
}

/// Stores the result of a step. A result that is stored already stays.
///
/// ```
/// # use mortise_sdk::prelude::*;
/// fn import(_: ()) -> Result<(), Error> {
///     steps::store("begun", &true)?;
///     assert_eq!(steps::load("begun")?, Some(true));
///     Ok(())
/// }
///
/// mortise_sdk::jobs! { "import" => import }
/// # let host = mortise_sdk::testing::Host::start();
/// # jobs::enqueue("import", &()).unwrap();
/// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
/// ```
pub fn store<T: Serialize + ?Sized>(name: &str, result: &T) -> Result<(), Error> {
    Host::store_step(name, &to_json(name, result)?)
}

/// The result of a step as it is stored.
pub(crate) fn to_json<T: Serialize + ?Sized>(name: &str, result: &T) -> Result<String, Error> {
    serde_json::to_string(result)
        .map_err(|error| Error::Json(format!("the result of the step `{name}`: {error}")))
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(formatter, "the step is invalid: {why}"),
            Self::Limit(why) => write!(formatter, "a limit of steps was reached: {why}"),
            Self::Unavailable(why) => write!(formatter, "steps are unavailable: {why}"),
            Self::Other(why) => write!(formatter, "the step failed: {why}"),
            Self::Json(why) => write!(formatter, "JSON of a step: {why}"),
        }
    }
}

impl std::error::Error for Error {}
