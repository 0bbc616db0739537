//! What the SQL of plugins may do. The host and the SDK's stand-in share it, so that a test of a
//! plugin finds the refusals that the plugin would find in production.
//!
//! - `authorizer` and `functions`: which statements and functions are allowed; `gate` is asked by SQLite.
//! - `setup` and `limits`: how a connection is set up; `utc`: the time zone.
//! - `statement`: texts, parameters and values; `expansion` (with `token`): what is too much to compile.
//! - `migration`: files of migrations; `script`: running one; `columns`: types that would change values.
//! - `failure`: SQLite's errors in the words of the contract.
//!
//! What needs the host stays there: clocks, budgets of memory, threads.

mod authorizer;
mod columns;
mod expansion;
mod failure;
mod functions;
mod gate;
mod limits;
pub mod migration;
mod script;
mod setup;
pub mod statement;
mod token;
#[cfg(unix)]
mod utc;

pub use authorizer::{Author, HOST_TABLES};
pub use columns::{Column, converting_columns};
pub use expansion::{TooMuch, Views};
pub use failure::{
    ConstraintKind, Failure, StatementError, is_pattern_limit, too_many_instructions, translate,
};
pub use gate::Gate;
pub use limits::{PATTERN_BYTES, VALUE_BYTES, compiled_bytes, longest_value};
pub use script::{Stopped, run_script};
pub use setup::{CREATE_BOOKKEEPING, dangling_reference, set_up, view_texts};
#[cfg(unix)]
pub use utc::use_utc;

/// Where there is no `gmtime_r`, which is where only tests of plugins run, the time zone stays as it is.
#[cfg(not(unix))]
pub fn use_utc() {}
