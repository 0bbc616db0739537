//! Results of steps of jobs, which are kept until the job is done or deleted.

use super::super::engine::Step;
use super::super::error::DatabaseError;
use super::connection::Connection;
use super::host_work::has_table;
use super::run::{Failed, broken_or};
use crate::domain::id::JobId;
use rusqlite::OptionalExtension as _;

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS _mortise_steps (
        job TEXT NOT NULL,
        name TEXT NOT NULL,
        result TEXT NOT NULL,
        PRIMARY KEY (job, name)
    ) STRICT";

/// Stores the result of a step in an open transaction, unless the step has one. Returns how many
/// steps the job has.
pub(super) fn store(connection: &mut Connection, step: &Step) -> Result<u32, DatabaseError> {
    let stored = connection.as_host_with_large_values(|raw| insert(raw, step));
    match stored {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err(DatabaseError::Limit(format!(
            "the job has {} steps already, which is all it may have; put more work into each step",
            step.most
        ))),
        Err(error) => Err(broken_or(connection, Failed::Sqlite(error))),
    }
}

/// The result of a step.
pub(super) fn load(
    connection: &mut Connection,
    job: JobId,
    name: &str,
) -> Result<Option<String>, DatabaseError> {
    let result = connection.as_host_with_large_values(|raw| {
        if !has_table(raw, "_mortise_steps")? {
            return Ok(None);
        }
        let found = raw.query_row(
            "SELECT result FROM _mortise_steps WHERE job = ?1 AND name = ?2",
            (job.to_string(), name),
            |row| row.get(0),
        );
        found.optional()
    });
    result.map_err(|error| broken_or(connection, error.into()))
}

/// Returns `None` if the job has as many steps as it may.
fn insert(raw: &rusqlite::Connection, step: &Step) -> rusqlite::Result<Option<u32>> {
    raw.execute_batch(CREATE)?;
    let job = step.job.to_string();
    let (count, is_stored): (u32, bool) = raw.query_row(
        "SELECT count(*), coalesce(max(name = ?2), 0) FROM _mortise_steps WHERE job = ?1",
        (&job, &step.name),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if is_stored {
        return Ok(Some(count));
    }
    if count >= step.most {
        return Ok(None);
    }
    raw.execute(
        "INSERT INTO _mortise_steps (job, name, result) VALUES (?1, ?2, ?3)",
        (&job, &step.name, &step.result),
    )?;
    Ok(Some(count + 1))
}
