//! The limits of a single SQL statement.

use rusqlite::limits::Limit;
use rusqlite::{Connection, Statement, StatementStatus};

/// The largest value and the largest row. SQLite processes a value without checking the clock, so
/// this bounds the duration of one step.
pub const VALUE_BYTES: i32 = 1024 * 1024;

/// The longest pattern of LIKE and GLOB. The time of one call is the product of pattern and value.
/// With a value of a mebibyte it is a tenth of a second, by which a statement can miss its
/// deadline.
pub const PATTERN_BYTES: i32 = 50;

/// The longest statement.
pub(crate) const SQL_BYTES: i32 = 100 * 1024;

/// The longest migration file, which is compiled statement by statement.
pub(crate) const MIGRATION_BYTES: i32 = 1024 * 1024;

/// Columns of a table or a result, and terms of an ORDER BY or a GROUP BY.
pub(crate) const COLUMNS: i32 = 2_000;

/// Nesting levels of an expression.
pub(crate) const DEPTH: i32 = 500;

/// SELECTs that UNION, INTERSECT and EXCEPT combine.
pub(crate) const TERMS: i32 = 500;

/// Arguments of a function.
pub(crate) const ARGUMENTS: i32 = 1_000;

/// Parameters of a statement.
pub(crate) const PARAMETERS: i32 = 32_766;

/// Instructions of a compiled statement.
pub(crate) const INSTRUCTIONS: i32 = 250_000;

/// Triggers that call each other.
pub(crate) const TRIGGERS: i32 = 10;

/// Tables in a join. This limit is built into SQLite.
pub(crate) const TABLES: i32 = 64;

/// The limits are far above normal statements. Each stops a way to make one statement expensive
/// before the clock is checked. SQLite caps values above its compile-time limits.
const LIMITS: &[(Limit, i32)] = &[
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES),
    (Limit::SQLITE_LIMIT_COLUMN, COLUMNS),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, DEPTH),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, TERMS),
    (Limit::SQLITE_LIMIT_VDBE_OP, INSTRUCTIONS),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, ARGUMENTS),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, TRIGGERS),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// The most bytes of a compiled statement times bytes of a value. A program without jumps does not
/// check the clock, and each instruction (about 24 bytes) may process a whole value without
/// allocating. So this bounds the time by which a statement can miss its deadline: a second or two
/// for a malicious one.
const WORK_BYTES: u64 = 1 << 34;

/// Sets the limits of a connection, those of migrations or those of plugins.
pub(crate) fn apply(connection: &Connection, migrates: bool) -> rusqlite::Result<()> {
    for (limit, value) in LIMITS {
        connection.set_limit(*limit, *value)?;
    }
    if migrates {
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MIGRATION_BYTES)?;
    }
    Ok(())
}

/// The memory of a compiled statement before it has run, triggers included.
pub fn compiled_bytes(statement: &Statement<'_>) -> u64 {
    u64::try_from(statement.get_status(StatementStatus::MemUsed)).unwrap_or(0)
}

/// The longest value in a statement of `compiled_bytes`. Up to four copies of its text and strings
/// are subtracted, because they are not instructions.
pub fn longest_value(compiled_bytes: u64, text_bytes: usize) -> i32 {
    let text_bytes = u64::try_from(text_bytes).unwrap_or(u64::MAX);
    let instructions = compiled_bytes.saturating_sub(text_bytes.saturating_mul(4));
    i32::try_from(WORK_BYTES / instructions.max(1)).map_or(VALUE_BYTES, |bytes| bytes.min(VALUE_BYTES))
}
