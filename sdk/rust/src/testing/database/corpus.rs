//! The shared SQL cases, which the host must answer in the same way.

#[path = "../../../../../sql/corpus/mod.rs"]
mod cases;

use cases::{Answer, Kind, MIGRATIONS, SCHEMA, V};

use super::folder::Folder;
use super::script::try_run;
use super::{Converting, Database, Script};
use crate::db::{ConstraintKind, Error, Value};

#[test]
fn statements_answer_as_on_the_host() {
    let mut complaints = Vec::new();
    for case in cases::cases() {
        let database = Database::create(vec![Script::of_test(SCHEMA)], Converting::Refused);
        let params: Vec<Value> = case.params.iter().map(into).collect();
        let answer = if case.is_executed() {
            database.execute(&case.sql, &params).map(Answer::Changed)
        } else {
            let rows = database.query(&case.sql, &params);
            rows.map(|rows| {
                Answer::Rows(
                    rows.rows
                        .iter()
                        .map(|row| row.iter().map(from).collect())
                        .collect(),
                )
            })
        };
        complaints.extend(case.complaint(&answer.unwrap_or_else(failed)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn migrations_apply_as_on_the_host() {
    for case in MIGRATIONS {
        let files = case
            .files
            .iter()
            .map(|(file, sql)| ((*file).to_owned(), (*sql).to_owned()));
        let scripts = Script::of_files(files.collect());
        let converting = if case.is_strict {
            Converting::Refused
        } else {
            Converting::Warned
        };
        match (
            case.wanted,
            try_run(&Folder::create().file(), &scripts, converting),
        ) {
            (Ok(afterwards), Ok(())) => {
                let database = Database::create(scripts, converting);
                let result = database.query(afterwards, &[]);
                assert!(result.is_ok(), "{case:?}: {result:?}");
            }
            (Err(parts), Err(message)) => {
                assert!(
                    parts.iter().all(|part| message.contains(part)),
                    "{case:?}: {message}"
                );
            }
            (_, other) => panic!("{case:?}: {other:?}"),
        }
    }
}

fn into(value: &V) -> Value {
    match value.clone() {
        V::Null => Value::Null,
        V::Boolean(boolean) => Value::Boolean(boolean),
        V::Integer(integer) => Value::Integer(integer),
        V::Real(real) => Value::Real(real),
        V::Text(text) => Value::Text(text),
        V::Blob(bytes) => Value::Blob(bytes),
    }
}

fn from(value: &Value) -> V {
    match value.clone() {
        Value::Null => V::Null,
        Value::Boolean(boolean) => V::Boolean(boolean),
        Value::Integer(integer) => V::Integer(integer),
        Value::Real(real) => V::Real(real),
        Value::Text(text) => V::Text(text),
        Value::Blob(bytes) => V::Blob(bytes),
    }
}

fn failed(error: Error) -> Answer {
    let (kind, message) = match error {
        Error::Constraint { kind, name } => {
            let kind = match kind {
                ConstraintKind::Unique => Kind::Unique,
                ConstraintKind::ForeignKey => Kind::ForeignKey,
                ConstraintKind::NotNull => Kind::NotNull,
                ConstraintKind::Check => Kind::Check,
                ConstraintKind::Other => Kind::Other,
            };
            (kind, name)
        }
        Error::Invalid(message) => (Kind::Invalid, message),
        Error::Conflict(message) => (Kind::Conflict, message),
        Error::Denied(message) => (Kind::Denied, message),
        Error::Limit(message) => (Kind::Limit, message),
        Error::Unavailable(message) => (Kind::Unavailable, message),
        other => panic!("{other:?} is no answer of a database"),
    };
    Answer::Failed(kind, message)
}
