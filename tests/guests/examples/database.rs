//! A guest that runs the SQL of its requests.

use test_guests::guest;
use test_guests::v0_2 as contract;

#[path = "../shared/database.rs"]
mod sql;

guest!(sql::handle);

/// What differs between the versions of the contract.
mod own {
    use crate::contract::{database, jobs};

    /// A job.
    pub fn job() -> jobs::NewJob {
        jobs::NewJob {
            name: "j".to_owned(),
            payload: "{}".to_owned(),
            due: jobs::Due::Now,
            priority: 0,
            unique_key: None,
            concurrency_key: None,
        }
    }

    /// The kind of an error, and its message.
    pub fn failure(error: database::Error) -> (&'static str, String) {
        match error {
            database::Error::Constraint(violation) => {
                ("constraint", format!("{:?} {}", violation.kind, violation.name))
            }
            database::Error::Invalid(message) => ("invalid", message),
            database::Error::Conflict(message) => ("conflict", message),
            database::Error::Denied(message) => ("denied", message),
            database::Error::Limit(message) => ("limit", message),
            database::Error::Unavailable(message) => ("unavailable", message),
            database::Error::Other(message) => ("other", message),
        }
    }
}
