//! Background work that the host stores and runs at least once.
//!
//! A plugin declares its jobs in the manifest (`[[job]]`) and lists their handlers with
//! [`jobs!`](crate::jobs!). [`enqueue`] adds a job; [`NewJob`] also sets when it is due, its
//! priority and its keys. A job that is enqueued in a
//! [transaction](crate::db::Transaction::enqueue) exists if and only if the transaction commits.
//!
//! A job whose handler returns an error runs again after a back-off, until its attempts are used
//! up; see [`JobError`]. It may therefore run more than once. Three ways keep an effect from
//! happening twice:
//!
//! - [`Transaction::complete`](crate::db::Transaction::complete) marks the job as done in the
//!   transaction that holds its effect.
//! - [`step`] stores the result of a part of the job, and a later attempt does not repeat the part.
//! - The id of the job is the same for all attempts, so it can be sent to another server as an
//!   idempotency key.
//!
//! ```
//! use mortise_sdk::prelude::*;
//!
//! fn welcome(address: String) -> Result<(), Error> {
//!     db::execute("INSERT INTO sent (address) VALUES ($1)", (address,))?;
//!     Ok(())
//! }
//!
//! mortise_sdk::jobs! {
//!     "welcome" => welcome,
//! }
//!
//! # let host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE sent (address TEXT)").start();
//! jobs::enqueue("welcome", "ada@example.com")?;
//! // In a test, the test host runs what is due.
//! host.run_jobs(&JOBS);
//! assert_eq!(db::query_one::<String>("SELECT address FROM sent", ()).unwrap(), "ada@example.com");
//! # Ok::<(), jobs::Error>(())
//! ```

mod error;
pub(crate) mod handler;
mod job;
mod new_job;

use serde::Serialize;

pub use crate::steps::step;
pub use error::{Error, JobError};
pub use handler::{FromJob, JobHandler, Jobs};
pub use job::{Job, Origin};
#[cfg(any(feature = "testing", target_family = "wasm"))]
pub(crate) use new_job::Due;
pub use new_job::NewJob;
pub(crate) use new_job::Prepared;

/// Adds a job of this name with a payload, which is written as JSON. The job runs as soon as it
/// can. Returns its id.
///
/// ```
/// # let host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::jobs;
///
/// let id = jobs::enqueue("sync-erp", &7)?;
/// assert_eq!((host.jobs()[0].id.as_str(), host.jobs()[0].payload.as_str()), (id.as_str(), "7"));
/// # Ok::<(), jobs::Error>(())
/// ```
pub fn enqueue<T: Serialize + ?Sized>(name: &str, payload: &T) -> Result<String, Error> {
    NewJob::new(name).payload(payload).enqueue()
}
