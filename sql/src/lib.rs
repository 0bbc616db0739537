//! The rules for the SQL of plugins. The host and the SDK's test database share them, so a plugin's
//! tests find the same rejections as production.
//!
//! - `authorizer` and `functions`: which statements and functions are allowed; `callback`: the
//!   callback for SQLite.
//! - `setup` and `limits`: the setup of a connection; `utc`: the time zone.
//! - `statement`: texts, parameters and values; `expansion` (with `token`): the size of a
//!   statement after expansion.
//! - `migration`: migration files; `script`: running one; `columns`: types that would convert
//!   values.
//! - `failure`: SQLite's errors as errors of the contract.
//!
//! Clocks, memory budgets and threads are the host's and not part of this crate.

mod authorizer;
mod callback;
mod columns;
mod expansion;
mod failure;
mod functions;
mod limits;
pub mod migration;
mod script;
mod setup;
pub mod statement;
mod token;
#[cfg(unix)]
mod utc;

pub use authorizer::{Author, HOST_TABLES};
pub use callback::Authorizer;
pub use columns::{Column, converting_columns};
pub use expansion::{TooMuch, Views};
pub use failure::{
    ConstraintKind, Failure, StatementError, is_pattern_limit, too_many_instructions, translate,
};
pub use limits::{PATTERN_BYTES, VALUE_BYTES, compiled_bytes, longest_value};
pub use script::{Stopped, run_script};
pub use setup::{CREATE_BOOKKEEPING, dangling_reference, set_up, view_texts};
#[cfg(unix)]
pub use utc::use_utc;

/// Does nothing on platforms without `gmtime_r`, on which only tests of plugins run.
#[cfg(not(unix))]
pub fn use_utc() {}
