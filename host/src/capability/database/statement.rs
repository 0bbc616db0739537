//! Statements and their results, the same for every engine.

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

/// The kind of result that the caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The rows of the result.
    Rows,
    /// The number of changed rows.
    Count,
}

/// The result of a statement: its rows or the number of changed rows, as [`Want`] says.
#[derive(Debug)]
pub enum Answer {
    /// The rows.
    Rows(Rows),
    /// The number of changed rows.
    Changed(u64),
}

/// The tenant and the limits of a statement.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The tenant that owns the database.
    pub tenant: TenantId,
    /// The limits of the invocation.
    pub limits: Arc<Limits>,
    /// When the invocation ends.
    pub deadline: Instant,
}

/// The maximum size of a result.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The maximum number of rows.
    pub rows: usize,
    /// The maximum number of bytes, as [`weight`] counts them.
    pub bytes: usize,
}

impl Statement {
    /// The size of the text and of the parameters.
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

    /// The deadline of a statement that starts now.
    pub fn statement_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.limits.sql_time.0)
    }

    /// The maximum size of one result.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            rows: usize::try_from(self.limits.sql_rows).unwrap_or(usize::MAX),
            bytes: self.limits.sql_bytes.as_usize(),
        }
    }
}

/// The counted size of a value of `content` bytes. It includes a fixed overhead, so that a million
/// NULLs are not free.
pub fn weight(content: usize) -> usize {
    content + size_of::<Value>()
}

/// The counted size of rows: the sum of the `weight` of each value.
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
