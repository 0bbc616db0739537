//! Reads values of SQLite rows as domain types. An invalid value is [`DbError::Corrupt`], never a
//! panic.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::credential::SecretHash;
use crate::domain::lenient;

pub fn text(row: &SqliteRow, column: &'static str) -> Result<String, DbError> {
    row.try_get(column)
        .map_err(|error| DbError::corrupt(column, error))
}

pub fn optional_text(row: &SqliteRow, column: &'static str) -> Result<Option<String>, DbError> {
    row.try_get(column)
        .map_err(|error| DbError::corrupt(column, error))
}

pub fn bytes(row: &SqliteRow, column: &'static str) -> Result<Vec<u8>, DbError> {
    row.try_get(column)
        .map_err(|error| DbError::corrupt(column, error))
}

pub fn integer(row: &SqliteRow, column: &'static str) -> Result<i64, DbError> {
    row.try_get(column)
        .map_err(|error| DbError::corrupt(column, error))
}

pub fn optional_integer(row: &SqliteRow, column: &'static str) -> Result<Option<i64>, DbError> {
    row.try_get(column)
        .map_err(|error| DbError::corrupt(column, error))
}

/// An integer that fits a narrower type.
pub fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, DbError> {
    let value = integer(row, column)?;
    T::try_from(value).map_err(|_| DbError::corrupt(column, format!("{value} is out of range")))
}

pub fn flag(row: &SqliteRow, column: &'static str) -> Result<bool, DbError> {
    match integer(row, column)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DbError::corrupt(column, format!("{other} is neither 0 nor 1"))),
    }
}

pub fn timestamp(row: &SqliteRow, column: &'static str) -> Result<Timestamp, DbError> {
    integer(row, column).map(Timestamp)
}

pub fn optional_timestamp(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, DbError> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|error| DbError::corrupt(column, error))?;
    Ok(value.map(Timestamp))
}

/// The time of deletion. A time before 1970 is damage: the row then counts as not deleted and is
/// never purged.
pub fn deleted_at(row: &SqliteRow) -> Result<Option<Timestamp>, DbError> {
    let deleted_at = optional_timestamp(row, "deleted_at")?;
    match deleted_at {
        Some(Timestamp(..0)) => Err(DbError::corrupt("deleted_at", "it is before 1970")),
        _ => Ok(deleted_at),
    }
}

/// A value that is stored as text: an id, a name, a digest or a role.
pub fn parsed<T: FromStr<Err: Display>>(row: &SqliteRow, column: &'static str) -> Result<T, DbError> {
    text(row, column)?
        .parse()
        .map_err(|error| DbError::corrupt(column, error))
}

pub fn optional_parsed<T: FromStr<Err: Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, DbError> {
    optional_text(row, column)?
        .map(|text| text.parse().map_err(|error| DbError::corrupt(column, error)))
        .transpose()
}

pub fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, DbError> {
    serde_json::from_str(&text(row, column)?).map_err(|error| DbError::corrupt(column, error))
}

/// A JSON value that may be absent.
pub fn optional_json<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, DbError> {
    optional_text(row, column)?
        .map(|text| serde_json::from_str(&text).map_err(|error| DbError::corrupt(column, error)))
        .transpose()
}

/// A JSON value that another version of this host may have written. Unknown keys are ignored.
pub fn lenient<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, DbError> {
    lenient::from_json(&text(row, column)?).map_err(|error| DbError::corrupt(column, error))
}

pub fn hash(row: &SqliteRow, column: &'static str) -> Result<SecretHash, DbError> {
    let bytes = bytes(row, column)?;
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| DbError::corrupt(column, "a hash has 32 bytes"))?;
    Ok(SecretHash::from_bytes(bytes))
}

/// A value as JSON, for storing.
pub fn to_json<T: Serialize>(value: &T, column: &'static str) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::corrupt(column, error))
}

/// An unsigned number for storing. SQLite's integers are signed, so larger numbers become the
/// largest one.
pub fn to_integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
