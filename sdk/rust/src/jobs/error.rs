//! Why a job was not added, and why a job failed.

use std::fmt;
use std::time::Duration;

use crate::error::with_sources;

/// A job that was not added.
///
/// If a handler returns it through `?`, the response is a 500 and the cause is logged;
/// [`Unavailable`](Self::Unavailable) is a 503 with `Retry-After`.
///
/// ```
/// use mortise_sdk::jobs::Error;
///
/// assert_eq!(Error::TooLarge.to_string(), "the payload of the job is too large");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The manifest of the plugin has no job of this name.
    UnknownJob(String),
    /// A key, the priority or the time is not a valid one, or the payload cannot be written as
    /// JSON.
    Invalid(String),
    /// The payload is larger than the plan allows.
    TooLarge,
    /// The invocation has added as many jobs as it may, the tenant's backlog is full, or too many
    /// jobs led to this one.
    Limit(String),
    /// The queue cannot be written.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownJob(why) => write!(formatter, "the job is unknown: {why}"),
            Self::Invalid(why) => write!(formatter, "the job is invalid: {why}"),
            Self::TooLarge => formatter.write_str("the payload of the job is too large"),
            Self::Limit(why) => write!(formatter, "a limit of jobs was reached: {why}"),
            Self::Unavailable(why) => write!(formatter, "the job queue is unavailable: {why}"),
            Self::Other(why) => write!(formatter, "the job was not added: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Why an attempt of a job failed, and what becomes of the job. The text is kept with the attempt,
/// and the tenant reads it.
///
/// `?` converts every `std::error::Error` and [`Error`](crate::Error) to a
/// [`Retry`](Self::Retry), so a handler that never discards a job can return
/// `Result<(), Error>`. A payload that cannot be deserialized is a [`Discard`](Self::Discard).
///
/// ```
/// use std::time::Duration;
/// use mortise_sdk::prelude::*;
///
/// fn charge(cents: i64) -> Result<(), JobError> {
///     if cents <= 0 {
///         return Err(JobError::discard("nothing is charged"));
///     }
///     let response = http::post("https://payments.example/charges").json(&cents).send()?;
///     match response.status() {
///         429 => Err(JobError::retry_after(Duration::from_secs(60), "too many charges")),
///         _ => Ok(response.error_for_status().map(drop)?),
///     }
/// }
/// # let _host = mortise_sdk::testing::Host::builder().http(|_| Ok(http::Response::new(429))).start();
/// # assert!(matches!(charge(7), Err(JobError::RetryAfter(_, _))));
/// # assert!(matches!(charge(0), Err(JobError::Discard(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// The job runs again after the back-off of the manifest. After its last attempt it becomes a
    /// dead letter.
    Retry(String),
    /// The job runs again after this time, at most seven days. After its last attempt it becomes a
    /// dead letter.
    RetryAfter(Duration, String),
    /// The job becomes a dead letter at once.
    Discard(String),
}

impl JobError {
    /// The job runs again after the back-off of the manifest.
    ///
    /// ```
    /// use mortise_sdk::jobs::JobError;
    ///
    /// assert_eq!(JobError::retry("the ledger is down").to_string(), "the ledger is down");
    /// ```
    pub fn retry(why: impl Into<String>) -> Self {
        Self::Retry(why.into())
    }

    /// The job runs again after this time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mortise_sdk::jobs::JobError;
    ///
    /// let minute = Duration::from_secs(60);
    /// let error = JobError::retry_after(minute, "come back");
    /// assert!(matches!(error, JobError::RetryAfter(wait, _) if wait == minute));
    /// ```
    pub fn retry_after(wait: Duration, why: impl Into<String>) -> Self {
        Self::RetryAfter(wait, why.into())
    }

    /// The job becomes a dead letter at once.
    ///
    /// ```
    /// use mortise_sdk::jobs::JobError;
    ///
    /// assert_eq!(JobError::discard("no order 7").to_string(), "no order 7");
    /// ```
    pub fn discard(why: impl Into<String>) -> Self {
        Self::Discard(why.into())
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) | Self::RetryAfter(_, why) | Self::Discard(why) => formatter.write_str(why),
        }
    }
}

impl From<crate::Error> for JobError {
    fn from(error: crate::Error) -> Self {
        Self::Retry(error.into_job_text())
    }
}

impl<E: std::error::Error + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Retry(with_sources(&error))
    }
}
