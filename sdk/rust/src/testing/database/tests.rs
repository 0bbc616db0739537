//! Tests of the test database's transactions, cursors and migrations. The corpus tests single
//! statements.

use super::*;

const SHOP: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);";

fn database() -> Database {
    Database::create(vec![Script::of_test(SHOP)], Converting::Warned)
}

fn insert(name: &str) -> String {
    format!("INSERT INTO item (name) VALUES ('{name}')")
}

fn count(database: &Database) -> Result<usize, Error> {
    database.query("SELECT * FROM item", &[]).map(|rows| rows.len())
}

#[track_caller]
fn is_invalid<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    assert!(
        matches!(&result, Err(Error::Invalid(why)) if why.contains(part)),
        "{result:?}"
    );
}

#[test]
fn beside_a_transaction_the_state_before_it_is_read_and_nothing_is_written() {
    let database = database();
    let transaction = database.begin().expect("nothing else is open");
    assert_eq!(transaction.execute(&insert("a"), &[]), Ok(1));
    assert_eq!(count(&database), Ok(0));
    is_invalid(
        database.execute("DELETE FROM item", &[]),
        "outside of the transaction",
    );
    is_invalid(database.query(&insert("b"), &[]), "outside of the transaction");
    is_invalid(database.begin(), "an open transaction already");
    assert_eq!(
        transaction
            .query("SELECT * FROM item", &[])
            .map(|rows| rows.len()),
        Ok(1)
    );
    assert_eq!(transaction.end("COMMIT"), Ok(()));
    assert_eq!(count(&database), Ok(1));
    is_invalid(
        transaction.execute("DELETE FROM item", &[]),
        "committed or rolled back",
    );
    is_invalid(transaction.end("COMMIT"), "committed or rolled back");
}

#[test]
fn a_transaction_that_is_dropped_leaves_nothing() {
    let database = database();
    let transaction = database.begin().expect("nothing else is open");
    assert_eq!(transaction.execute(&insert("a"), &[]), Ok(1));
    drop(transaction);
    assert_eq!(count(&database), Ok(0));
    assert_eq!(database.execute(&insert("a"), &[]), Ok(1));
}

#[test]
fn a_statement_that_rolls_back_ends_the_transaction() {
    let database = database();
    assert_eq!(database.execute(&insert("a"), &[]), Ok(1));
    let transaction = database.begin().expect("nothing else is open");
    assert_eq!(transaction.execute(&insert("b"), &[]), Ok(1));
    let twice = insert("a").replace("INSERT", "INSERT OR ROLLBACK");
    assert!(matches!(
        transaction.execute(&twice, &[]),
        Err(Error::Constraint { .. })
    ));
    is_invalid(
        transaction.execute(&insert("c"), &[]),
        "all of it was rolled back",
    );
    assert_eq!(count(&database), Ok(1));
}

#[test]
fn a_cursor_only_reads() {
    let database = database();
    is_invalid(
        database.open(&insert("a"), &[]).map(|_| ()),
        "a cursor only reads",
    );
    assert_eq!(database.execute(&insert("a"), &[]), Ok(1));
    let cursor = database.open("SELECT name FROM item", &[]).expect("it reads");
    assert_eq!(cursor.columns(), ["name"]);
    assert_eq!((cursor.next(5).len(), cursor.next(5).len()), (1, 0));
}

#[test]
fn the_file_goes_with_the_database() {
    let database = database();
    let file = database.opened().shared.folder.file();
    assert!(file.exists());
    drop(database);
    assert!(!file.exists());
}

#[test]
fn files_run_by_their_numbers_and_wrong_names_fail() {
    let files = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "SELECT 1".to_owned()))
            .collect()
    };
    let sorted = Script::of_files(files(&["10_b.sql", "9_a.sql", "20240101120000_c.sql"]));
    let names: Vec<_> = sorted.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "the migration 9_a.sql",
            "the migration 10_b.sql",
            "the migration 20240101120000_c.sql"
        ]
    );
    for (names, part) in [
        (&["V1__init.sql"][..], "write `0001_name.sql` for `V1__name.sql`"),
        (&["0001_a.sql", "1_b.sql"], "have the same number"),
    ] {
        let panic = std::panic::catch_unwind(|| Script::of_files(files(names)))
            .err()
            .expect("it fails");
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(part), "{message}");
    }
}
