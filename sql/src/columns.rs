//! Finds columns whose declared type makes SQLite convert the stored values.
//!
//! SQLite maps every type name to one of five affinities. A type it does not know, such as
//! `DECIMAL`, `UUID` or `TIMESTAMP`, becomes NUMERIC: a text that looks like a number is converted,
//! so `10.10` is stored as 10.1 and `00123` as 123. The contract promises text for these types.

use std::collections::BTreeSet;
use std::fmt;

use rusqlite::Connection;

use crate::authorizer::is_host_table;
use crate::token::{Token, tokens};

/// A column that converts texts to numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    table: String,
    name: String,
    /// Its declared type.
    declared: String,
}

impl fmt::Display for Column {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            name,
            declared,
        } = self;
        write!(
            out,
            "the column `{table}.{name}` is declared `{declared}`, for which SQLite turns texts into numbers: `10.10` \
             becomes 10.1 and `00123` becomes 123; declare it `TEXT` (decimals, UUIDs, JSON, times), or `INTEGER`, \
             `REAL`, `BOOLEAN` or `BLOB`"
        )
    }
}

/// The columns of all tables that unexpectedly convert texts to numbers.
pub fn converting_columns(connection: &Connection) -> rusqlite::Result<BTreeSet<Column>> {
    let sql = "SELECT tables.name, tables.sql, columns.name, columns.type
        FROM sqlite_schema AS tables, pragma_table_xinfo(tables.name) AS columns
        WHERE tables.type = 'table' AND columns.type <> ''";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let (table, text): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let declared: String = row.get(3)?;
        let is_own = is_host_table(&table) || table.starts_with("sqlite_");
        if is_own || !changes_text(&declared) || text.is_some_and(|text| is_strict(&text)) {
            continue;
        }
        found.insert(Column {
            table,
            name: row.get(2)?,
            declared,
        });
    }
    Ok(found)
}

/// Whether SQLite unexpectedly converts texts to numbers in a column of this type: the type is none
/// of SQLite's own names for numbers. The rules are those of "Determination Of Column Affinity" in
/// SQLite's documentation.
fn changes_text(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    if has(&["INT"]) {
        // These contain "INT" by accident.
        return has(&["INTERVAL", "POINT"]);
    }
    // TRUE and FALSE are 1 and 0, which a conversion does not change.
    let is_boolean = matches!(declared.trim(), "BOOLEAN" | "BOOL");
    !is_boolean && !has(&["CHAR", "CLOB", "TEXT", "BLOB", "REAL", "FLOA", "DOUB"])
}

/// Whether a table's SQL text ends in STRICT. Such a table allows only types without conversions.
fn is_strict(text: &str) -> bool {
    let tokens = tokens(text);
    let options = tokens.iter().rev().take_while(|token| **token != Token::Close);
    options.into_iter().any(|token| token.is_word("strict"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        let found = converting_columns(&connection).unwrap();
        found
            .into_iter()
            .map(|column| format!("{}.{} {}", column.table, column.name, column.declared))
            .collect()
    }

    /// Compares the rules with SQLite's behaviour.
    #[test]
    fn the_types_are_those_for_which_sqlite_changes_texts() {
        for declared in [
            "DECIMAL(10, 2)",
            "NUMERIC",
            "STRING",
            "JSON",
            "JSONB",
            "TIMESTAMP",
            "DATETIME",
            "DATE",
            "TIME",
            "UUID",
            "MONEY",
            "NUMBER",
            "SERIAL",
            "ANY",
            "BYTEA",
            "VARBINARY(16)",
            "INTERVAL",
            "FLOATING POINT",
            "INTEGER",
            "BIGINT",
            "INT8",
            "UNSIGNED BIG INT",
            "TEXT",
            "VARCHAR(20)",
            "NVARCHAR",
            "CLOB",
            "BLOB",
            "REAL",
            "FLOAT",
            "DOUBLE PRECISION",
            "BOOLEAN",
            "BOOL",
            "",
        ] {
            let connection = Connection::open_in_memory().unwrap();
            let sql = format!("CREATE TABLE t (a {declared}); INSERT INTO t VALUES ('00123')");
            connection.execute_batch(&sql).unwrap();
            let kept: bool = connection
                .query_row("SELECT typeof(a) = 'text' FROM t", [], |row| row.get(0))
                .unwrap();
            let number = [
                "INTEGER",
                "BIGINT",
                "INT8",
                "UNSIGNED BIG INT",
                "REAL",
                "FLOAT",
                "DOUBLE PRECISION",
            ];
            let expected = kept || number.contains(&declared) || declared.starts_with("BOOL");
            assert_eq!(
                converting_columns(&connection).unwrap().is_empty(),
                expected,
                "{declared}"
            );
        }
    }

    #[test]
    fn columns_are_found_wherever_they_come_from() {
        let sql = "CREATE TABLE a (id INTEGER PRIMARY KEY, price DECIMAL(10,2), at timestamp);
            CREATE TABLE \"a b\" (x INT, y UUID GENERATED ALWAYS AS (1) VIRTUAL);
            CREATE TABLE strict_one (x ANY, y INT) STRICT;
            CREATE TABLE strict_two (x ANY PRIMARY KEY) WITHOUT ROWID, strict;
            CREATE TABLE \"strict\" (x ANY);
            CREATE TABLE altered (id INTEGER); ALTER TABLE altered ADD COLUMN at DATE;
            CREATE TABLE _mortise_x (x NUMERIC);
            CREATE VIEW v AS SELECT price FROM a;
            ANALYZE;";
        assert_eq!(
            found(sql),
            [
                "a.at timestamp",
                "a.price DECIMAL(10,2)",
                "a b.y UUID",
                "altered.at DATE",
                "strict.x ANY"
            ]
        );
    }
}
