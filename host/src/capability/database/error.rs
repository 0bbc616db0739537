//! The errors of the database calls, independent of the engine.

use mortise_sql::{ConstraintKind as Kind, Failure};

use super::super::HandlesSpent;
pub use super::super::bindings::database::ConstraintKind;

/// Why a statement failed. Messages never contain a path of the host or another tenant's data.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DatabaseError {
    /// The statement violates a constraint of the schema. Blame: guest.
    #[error("a constraint does not hold: {name}")]
    Constraint {
        /// The kind of the constraint.
        kind: ConstraintKind,
        /// The name that the engine gives the constraint.
        name: String,
    },
    /// The statement or its parameters are wrong. Blame: guest.
    #[error("{0}")]
    Invalid(String),
    /// A concurrent statement is in conflict with this one. A retry may succeed.
    #[error("{0}")]
    Conflict(String),
    /// Plugins may not run the statement. Blame: guest.
    #[error("{0}")]
    Denied(String),
    /// The statement exceeds a limit of the plan. Blame: limit.
    #[error("{0}")]
    Limit(String),
    /// The database is not granted, or it is unavailable. Blame: host, except for the grant.
    #[error("{0}")]
    Unavailable(String),
}

impl From<HandlesSpent> for DatabaseError {
    fn from(error: HandlesSpent) -> Self {
        DatabaseError::Limit(error.to_string())
    }
}

impl From<Failure> for DatabaseError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Constraint { kind, name } => DatabaseError::Constraint {
                kind: match kind {
                    Kind::Unique => ConstraintKind::Unique,
                    Kind::ForeignKey => ConstraintKind::ForeignKey,
                    Kind::NotNull => ConstraintKind::NotNull,
                    Kind::Check => ConstraintKind::Check,
                    Kind::Other => ConstraintKind::Other,
                },
                name,
            },
            Failure::Invalid(message) => DatabaseError::Invalid(message),
            Failure::Conflict(message) => DatabaseError::Conflict(message),
            Failure::Denied(message) => DatabaseError::Denied(message),
            Failure::Limit(message) => DatabaseError::Limit(message),
            Failure::Unavailable(message) => DatabaseError::Unavailable(message),
        }
    }
}
