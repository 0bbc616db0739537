//! The shared SQL cases, which the SDK's test database must answer in the same way.

#[path = "../../../../../sql/corpus/mod.rs"]
mod cases;

use cases::{Answer, Kind, MIGRATIONS, SCHEMA, V};

use super::super::ConstraintKind;
use super::*;

#[tokio::test]
async fn statements_answer_as_in_tests_of_plugins() {
    let mut complaints = Vec::new();
    for case in cases::cases() {
        let mut fixture = fixture(generous(), SCHEMA).await;
        let params: Vec<Value> = case.params.iter().map(into).collect();
        let answer = if case.is_executed() {
            fixture
                .call
                .execute(&case.sql, &params)
                .await
                .map(Answer::Changed)
        } else {
            let rows = fixture.call.query(&case.sql, &params).await;
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

#[tokio::test]
async fn migrations_apply_as_in_tests_of_plugins() {
    for case in MIGRATIONS {
        let mut fixture = fixture(generous(), "").await;
        let files = case.files.iter();
        let migrations: Vec<_> = files
            .map(|(file, sql)| Migration::parse(file, *sql).unwrap())
            .collect();
        let contract = if case.is_strict {
            Contract::V0_2
        } else {
            Contract::V0_1
        };
        let applied = fixture.migrate_for(contract, &migrations).await;
        match (case.wanted, applied) {
            (Ok(after), Ok(applied)) => {
                assert_eq!(
                    applied.warnings.is_empty(),
                    case.is_strict,
                    "{case:?}: {applied:?}"
                );
                let result = fixture.call.query(after, &[]).await;
                assert!(result.is_ok(), "{case:?}: {result:?}");
            }
            (Err(parts), Err(error)) => {
                let message = error.to_string();
                assert!(
                    parts.iter().all(|part| message.contains(part)),
                    "{case:?}: {message}"
                );
            }
            (_, other) => panic!("{case:?}: {other:?}"),
        }
    }
}

fn generous() -> Limits {
    Limits {
        host_call_bytes: crate::domain::units::ByteSize::mib(8),
        ..Default::default()
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
        Error::Constraint(violation) => {
            let kind = match violation.kind {
                ConstraintKind::Unique => Kind::Unique,
                ConstraintKind::ForeignKey => Kind::ForeignKey,
                ConstraintKind::NotNull => Kind::NotNull,
                ConstraintKind::Check => Kind::Check,
                ConstraintKind::Other => Kind::Other,
            };
            (kind, violation.name)
        }
        Error::Invalid(message) => (Kind::Invalid, message),
        Error::Conflict(message) => (Kind::Conflict, message),
        Error::Denied(message) => (Kind::Denied, message),
        Error::Limit(message) => (Kind::Limit, message),
        Error::Unavailable(message) => (Kind::Unavailable, message),
        Error::Other(message) => panic!("the host has no use for this case: {message}"),
    };
    Answer::Failed(kind, message)
}
