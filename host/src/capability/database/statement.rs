//! What is asked of a database and what it answers, the same for every engine.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::Invocation;
pub use super::super::bindings::database::{Rows, Value};
use crate::domain::id::TenantId;
use crate::domain::limits::Limits;

/// One SQL statement with its parameters, as the guest gave it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text; parameters are `$1`, `$2` and so on.
    pub sql: String,
    /// The values of the parameters, in order.
    pub params: Vec<Value>,
}

/// What the caller wants to know of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Its rows.
    Rows,
    /// How many rows it changed.
    Count,
}

/// What a statement answered: its rows or the count of changed rows, as it was [wanted](Want).
#[derive(Debug)]
pub enum Answer {
    /// The rows.
    Rows(Rows),
    /// How many rows changed.
    Changed(u64),
}

/// In whose name a statement runs and how far it may go.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose database it is.
    pub tenant: TenantId,
    /// The limits that hold.
    pub limits: Arc<Limits>,
    /// When the invocation ends.
    pub deadline: Instant,
}

/// How much a result may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// At most so many rows.
    pub rows: usize,
    /// At most so many bytes, as [`weight`] counts them.
    pub bytes: usize,
}

impl Statement {
    /// Bytes that the guest hands over with it.
    pub fn bytes(&self) -> usize {
        self.sql.len() + self.params.iter().map(value_weight).sum::<usize>()
    }
}

impl Scope {
    /// The scope of an invocation.
    pub fn of(invocation: &Invocation) -> Self {
        Self {
            tenant: invocation.active.tenant,
            limits: invocation.active.limits.clone(),
            deadline: invocation.deadline,
        }
    }

    /// When a statement that starts now has to be done.
    pub fn statement_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.limits.sql_time.0)
    }

    /// How much one result may hold.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            rows: usize::try_from(self.limits.sql_rows).unwrap_or(usize::MAX),
            bytes: self.limits.sql_bytes.as_usize(),
        }
    }
}

/// What a value of `content` bytes counts: its content and the room that the host and the guest need for any value,
/// so that a million NULLs are not free.
pub fn weight(content: usize) -> usize {
    content + size_of::<Value>()
}

/// What rows count, each value by its `weight`.
pub fn rows_weight(rows: &[Vec<Value>]) -> usize {
    rows.iter().flatten().map(value_weight).sum()
}

fn value_weight(value: &Value) -> usize {
    weight(match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => 0,
    })
}
