//! Why a call to the database failed, in the words of the contract and of no engine.

use mortise_sql::{ConstraintKind as Kind, Failure};

use super::super::HandlesSpent;
pub use super::super::bindings::database::ConstraintKind;

/// Why a statement did not do what it should. No message holds a path of the host or another tenant's data.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DatabaseError {
    /// A constraint of the schema does not hold. Blame: guest.
    #[error("a constraint does not hold: {name}")]
    Constraint {
        /// Which kind.
        kind: ConstraintKind,
        /// What the engine calls it.
        name: String,
    },
    /// The statement or its parameters are wrong. Blame: guest.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else was in the way; trying again may succeed.
    #[error("{0}")]
    Conflict(String),
    /// A plugin may not run this. Blame: guest.
    #[error("{0}")]
    Denied(String),
    /// More than the plan allows. Blame: limit.
    #[error("{0}")]
    Limit(String),
    /// The database is not granted or does not work. Blame: host, except for the grant.
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
