//! Durable steps: parts of a job whose results are stored, so that a later attempt does not repeat
//! them.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Backend, Host};

/// A step whose result was not read or stored.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::jobs::{self, StepError};
///
/// // There are steps within a job only.
/// assert!(matches!(jobs::load_step::<u32>("charge"), Err(StepError::Invalid(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError {
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
/// The result is stored after the step has run. If the job is ended in between, the step runs again.
/// For changes of the database use [`Transaction::step`](crate::db::Transaction::step), which stores
/// the result together with the changes.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn pay(cents: i64) -> Result<(), Error> {
///     let charge: String = jobs::step("charge", || {
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
    E: From<StepError>,
{
    if let Some(result) = load_step(name)? {
        return Ok(result);
    }
    let result = work()?;
    store_step(name, &result)?;
    Ok(result)
}

/// The result of a step that this attempt or an earlier one stored.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn import(_: ()) -> Result<(), Error> {
///     let done: u32 = jobs::load_step("page")?.unwrap_or(0);
///     jobs::store_step("page", &(done + 1))?;
///     Ok(())
/// }
///
/// mortise_sdk::jobs! { "import" => import }
/// # let host = mortise_sdk::testing::Host::start();
/// # jobs::enqueue("import", &()).unwrap();
/// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
/// ```
pub fn load_step<T: DeserializeOwned>(name: &str) -> Result<Option<T>, StepError> {
    let Some(result) = Host::load_step(name)? else {
        return Ok(None);
    };
    serde_json::from_str(&result)
        .map(Some)
        .map_err(|error| StepError::Json(format!("the stored result of the step `{name}`: {error}")))
}

/// Stores the result of a step. A result that is stored already stays.
///
/// ```
/// # use mortise_sdk::prelude::*;
/// fn import(_: ()) -> Result<(), Error> {
///     jobs::store_step("begun", &true)?;
///     assert_eq!(jobs::load_step("begun")?, Some(true));
///     Ok(())
/// }
///
/// mortise_sdk::jobs! { "import" => import }
/// # let host = mortise_sdk::testing::Host::start();
/// # jobs::enqueue("import", &()).unwrap();
/// # assert_eq!(host.run_jobs(&JOBS)[0].error, None);
/// ```
pub fn store_step<T: Serialize + ?Sized>(name: &str, result: &T) -> Result<(), StepError> {
    Host::store_step(name, &to_json(name, result)?)
}

/// The result of a step as it is stored.
pub(crate) fn to_json<T: Serialize + ?Sized>(name: &str, result: &T) -> Result<String, StepError> {
    serde_json::to_string(result)
        .map_err(|error| StepError::Json(format!("the result of the step `{name}`: {error}")))
}

impl fmt::Display for StepError {
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

impl std::error::Error for StepError {}
