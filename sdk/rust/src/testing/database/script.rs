//! The SQL that creates the schema of a test database: migration files and the test's own SQL.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use mortise_sql::migration::{self, normal, parse_name};
use mortise_sql::{
    Author, CREATE_BOOKKEEPING, Column, Failure, StatementError, converting_columns, dangling_reference,
    run_script, translate, view_texts,
};

use super::connection::TestConnection;

/// SQL that runs before the test, like a migration.
pub(crate) struct Script {
    /// Its name in messages.
    pub(super) name: String,
    sql: String,
    is_file: bool,
}

/// What happens to columns of migrations that convert texts to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Converting {
    /// They cause a warning, as on the host for plugins of contract 0.1.
    Warned,
    /// They fail the test, as they fail the activation of plugins of contract 0.2.
    Refused,
}

impl Script {
    /// The migrations from files, given as names and texts, in the order of their numbers.
    pub fn of_files(mut files: Vec<(String, String)>) -> Vec<Self> {
        migration::sort(&mut files, |(file, _)| file);
        for (file, _) in &files {
            if let Err(problem) = parse_name(file) {
                panic!("`{file}` is not called as a migration is, such as `0001_name.sql`: {problem}");
            }
        }
        let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
        if let Err(problem) = migration::check_order(&names) {
            panic!("migrations: {problem}");
        }
        let script = |(file, sql)| Self {
            name: format!("the migration {file}"),
            sql,
            is_file: true,
        };
        files.into_iter().map(script).collect()
    }

    /// The additional SQL of a test.
    pub fn of_test(sql: &str) -> Self {
        Self {
            name: "the SQL of the test".to_owned(),
            sql: sql.to_owned(),
            is_file: false,
        }
    }
}

/// Runs all scripts in one transaction, as the host does. A mistake fails the test.
pub(super) fn run(file: &Path, scripts: &[Script], converting: Converting) {
    if let Err(message) = try_run(file, scripts, converting) {
        panic!("{message}");
    }
}

pub(super) fn try_run(file: &Path, scripts: &[Script], converting: Converting) -> Result<(), String> {
    let failed = |failure: Failure| format!("the migrations could not be applied: {}", said(failure));
    let unread = |error: rusqlite::Error| failed(translate(&error, None));
    let connection = TestConnection::open(file, Author::Migration, Rc::default()).map_err(failed)?;
    connection.run_trusted("BEGIN IMMEDIATE").map_err(failed)?;
    connection.run_trusted(CREATE_BOOKKEEPING).map_err(failed)?;
    let mut converting_of_files = BTreeSet::new();
    for script in scripts {
        let before = as_host(&connection, converting_columns).map_err(unread)?;
        run_one(&connection, script)?;
        if script.is_file {
            let after = as_host(&connection, converting_columns).map_err(unread)?;
            converting_of_files.extend(after.difference(&before).cloned());
        }
    }
    if let Some((table, parent)) = as_host(&connection, dangling_reference).map_err(unread)? {
        return Err(format!(
            "the migrations leave rows of `{table}` that refer to missing rows of `{parent}`"
        ));
    }
    let left = as_host(&connection, converting_columns).map_err(unread)?;
    let columns: Vec<&Column> = converting_of_files.intersection(&left).collect();
    tell(&columns, converting)?;
    connection.run_trusted("COMMIT").map_err(failed)
}

fn run_one(connection: &TestConnection, script: &Script) -> Result<(), String> {
    let Script { name, sql, .. } = script;
    let views = as_host(connection, view_texts).map_err(|error| format!("{name} failed: {error}"))?;
    let begin_statement = || _ = connection.authorizer.take_denial();
    run_script(&connection.raw, &normal(sql), &views, begin_statement).map_err(|stopped| {
        let failure = match stopped.why {
            StatementError::Sqlite(error) => translate(&error, connection.authorizer.take_denial()),
            StatementError::Found(failure) => failure,
        };
        format!("{name} failed at line {}: {}", stopped.line, said(failure))
    })
}

#[expect(
    clippy::print_stderr,
    reason = "a test has nowhere else to be told of what fails nothing"
)]
fn tell(columns: &[&Column], converting: Converting) -> Result<(), String> {
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    match converting {
        _ if columns.is_empty() => {}
        Converting::Refused => return Err(columns.join("; ")),
        Converting::Warned => eprintln!("warning: {}", columns.join("; ")),
    }
    Ok(())
}

fn as_host<T>(
    connection: &TestConnection,
    work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let author = connection.authorizer.set_author(Author::Host);
    let result = work(&connection.raw);
    connection.authorizer.set_author(author);
    result
}

fn said(failure: Failure) -> String {
    match failure {
        Failure::Constraint { name, .. } => format!("a constraint does not hold: {name}"),
        Failure::Invalid(message)
        | Failure::Conflict(message)
        | Failure::Denied(message)
        | Failure::Limit(message)
        | Failure::Unavailable(message) => message,
    }
}
