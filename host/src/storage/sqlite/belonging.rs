//! Checks that a database belongs to its data folder, before anything is written to either.

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::mark::{Mark, StartNumber};
use super::{pool, row, unavailable};
use crate::storage::DbError;

/// Refuses a write-ahead log of another copy of the file, since SQLite would read both as a damaged
/// database. Each start announces its number in the mark and then writes it into the file's header,
/// before the log begins. A start that was killed in between leaves a file with its own number or
/// the former one.
///
/// `start` is the number in the header. Nothing else of the file is read: after a host was killed
/// while it moved the log into the file, only both together are a whole database.
pub(super) fn check_log(start: Option<StartNumber>, marked: &Mark) -> Result<(), DbError> {
    let is_known = start
        .filter(|start| *start != StartNumber::NONE)
        .is_some_and(|start| start == marked.last_start || start == marked.next_start);
    match is_known || marked.last_start == StartNumber::NONE {
        true => Ok(()),
        false => Err(DbError::ForeignLog),
    }
}

/// Refuses a database that the folder's mark does not name, or that is older than the mark.
pub(super) async fn check_mark(options: &SqliteConnectOptions, marked: &Mark) -> Result<(), DbError> {
    // A refused database and its write-ahead log must stay unchanged, since the operator may still
    // need either.
    let options = options.clone().read_only(true);
    let reader = pool(1).connect_with(options).await.map_err(unavailable)?;
    let checked = compare(&reader, marked).await;
    reader.close().await;
    checked
}

async fn compare(reader: &SqlitePool, marked: &Mark) -> Result<(), DbError> {
    let older = |found| DbError::Older {
        found,
        expected: marked.generation,
    };
    let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'host'")
        .fetch_optional(reader)
        .await
        .map_err(unavailable)?;
    if table.is_none() {
        // The copy is older than the marks.
        return Err(older(0));
    }
    let row = sqlx::query("SELECT id, generation FROM host")
        .fetch_one(reader)
        .await
        .map_err(unavailable)?;
    if row::text(&row, "id")? != marked.id {
        return Err(DbError::Foreign);
    }
    let generation = row::integer(&row, "generation")?;
    if generation < marked.generation {
        return Err(older(generation));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_belongs_to_the_last_start_or_to_the_announced_one() {
        let numbers = [(); 3].map(|()| StartNumber::generate());
        let marked = |last_start, next_start| Mark {
            id: "a".to_owned(),
            generation: 1,
            last_start,
            next_start,
        };
        let (last, next) = (numbers[0], numbers[1]);
        for (start, marked, wanted) in [
            (Some(last), marked(last, StartNumber::NONE), true),
            (Some(last), marked(last, next), true),
            (Some(next), marked(last, next), true),
            (Some(next), marked(last, StartNumber::NONE), false),
            (Some(numbers[2]), marked(last, next), false),
            (Some(StartNumber::NONE), marked(last, next), false),
            (None, marked(last, next), false),
            // The mark is of a host that did not number its starts.
            (Some(last), marked(StartNumber::NONE, StartNumber::NONE), true),
        ] {
            assert_eq!(check_log(start, &marked).is_ok(), wanted, "{start:?} {marked:?}");
        }
    }
}
