//! Tests of migrations: all or none, each once, in order.

use super::super::{Applied, MigrationError};
use super::*;

/// The caller of an activation may be gone when its migrations finish. Readers see the new schema
/// all the same.
#[tokio::test]
async fn readers_see_a_new_schema_though_nobody_waited_for_it() {
    let before = migration(1, "CREATE TABLE t (a); INSERT INTO t VALUES (1);");
    let fixture = fixture(Limits::default(), "CREATE TABLE t (a); INSERT INTO t VALUES (1);").await;
    let mut reader = fixture.another();
    assert_eq!(reader.query("SELECT * FROM t", &[]).await.unwrap().columns, ["a"]);
    let added = [before, migration(2, "ALTER TABLE t ADD COLUMN b;")];
    let mut migrating = Box::pin(fixture.migrate(&added));
    assert!(futures_util::poll!(&mut migrating).is_pending());
    // The test reads the file directly, so that the future is not polled again.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = rusqlite::Connection::open_with_flags(fixture.file(), flags).unwrap();
    while file.prepare("SELECT b FROM t").is_err() {
        std::thread::yield_now();
    }
    drop(migrating);
    until(async || (fixture.databases.held().statements == 0).then_some(())).await;
    assert_eq!(
        reader.query("SELECT * FROM t", &[]).await.unwrap().columns,
        ["a", "b"]
    );
}

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT '');\n\
     -- The lines; a semicolon in a comment;\nCREATE TABLE lines (id INTEGER PRIMARY KEY, orders INTEGER NOT NULL REFERENCES orders (id));\n\
     INSERT INTO orders VALUES (1, '  first  ');\nINSERT INTO lines VALUES (1, 1);\n";

fn names(applied: &Applied) -> (Vec<&str>, Vec<&str>) {
    (
        applied.applied.iter().map(String::as_str).collect(),
        applied.beyond.iter().map(String::as_str).collect(),
    )
}

#[tokio::test]
async fn what_is_pending_is_applied_once() {
    let mut fixture = fixture(Limits::default(), "").await;
    let (tenant, plugin) = (fixture.tenant(), fixture.call.invocation.active.plugin.clone());
    assert!(
        fixture
            .databases
            .applied(tenant, &plugin)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!fixture.file().exists());
    let mut all = vec![migration(1, ORDERS)];
    assert_eq!(
        names(&fixture.migrate(&all).await.unwrap()),
        (vec!["0001_test.sql"], vec![])
    );
    assert_eq!(names(&fixture.migrate(&all).await.unwrap()), (vec![], vec![]));
    all.push(migration(
        3,
        "ALTER TABLE orders ADD COLUMN total INTEGER NOT NULL DEFAULT 0",
    ));
    assert_eq!(
        names(&fixture.migrate(&all).await.unwrap()),
        (vec!["0003_test.sql"], vec![])
    );
    assert_eq!(fixture.call.number("SELECT total FROM orders").await, 0);
    let applied = fixture.databases.applied(tenant, &plugin).await.unwrap();
    assert_eq!(applied.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(
        (applied[0].applied_at, applied[0].checksum),
        (NOW, all[0].checksum)
    );
    // An older version finds migrations that it does not have.
    assert_eq!(
        names(&fixture.migrate(&all[..1]).await.unwrap()),
        (vec![], vec!["0003_test.sql"])
    );
    // Another plugin of the tenant has its own migrations.
    assert!(
        fixture
            .databases
            .applied(tenant, &"other".parse().unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn history_does_not_change() {
    let fixture = fixture(Limits::default(), "").await;
    let (one, two, three) = (
        migration(1, "CREATE TABLE a (x)"),
        migration(2, "CREATE TABLE b (x)"),
        migration(3, "CREATE TABLE c (x)"),
    );
    fixture.migrate(&[one.clone(), three.clone()]).await.unwrap();
    let changed = fixture
        .migrate(&[migration(1, "CREATE TABLE a (y)"), three.clone()])
        .await;
    assert!(matches!(changed, Err(MigrationError::Changed(name)) if name == "0001_test.sql"));
    let missing = fixture.migrate(std::slice::from_ref(&three)).await;
    assert!(matches!(missing, Err(MigrationError::Missing(name)) if name == "0001_test.sql"));
    let late = fixture.migrate(&[one.clone(), two.clone(), three.clone()]).await;
    assert!(
        matches!(&late, Err(MigrationError::Late { file, newest: 3 }) if file == "0002_test.sql"),
        "{late:?}"
    );
    for wrong in [[two.clone(), one.clone()], [one.clone(), one]] {
        assert!(matches!(
            fixture.migrate(&wrong).await,
            Err(MigrationError::Order(_))
        ));
    }
}

#[tokio::test]
async fn a_failure_leaves_nothing_and_says_where() {
    let mut fixture = fixture(Limits::default(), ORDERS).await;
    let good = migration(2, "CREATE TABLE good (x)");
    for (sql, line, part) in [
        ("CREATE TABLE bad (x);\n\n  SELEKT 1;", 3, "syntax error"),
        (
            "CREATE TABLE bad (x);\nINSERT INTO bad VALUES (1);\nINSERT INTO orders VALUES (1, 'twice');",
            3,
            "orders.id",
        ),
        ("CREATE TABLE bad (x);\nCOMMIT;", 2, "BEGIN, COMMIT"),
        ("PRAGMA journal_mode = DELETE;", 1, "PRAGMA"),
        ("ATTACH 'x' AS y", 1, "ATTACH"),
        ("CREATE TABLE _mortise_x (a)", 1, "the host's own"),
        ("DELETE FROM _mortise_migrations", 1, "the host's own"),
        ("DROP TABLE _mortise_migrations", 1, "the host's own"),
        (
            "CREATE TABLE bad (x);\nUPDATE sqlite_master SET sql = 'x'",
            2,
            "may not be modified",
        ),
        ("SELECT load_extension('x')", 1, "load_extension"),
        ("CREATE TEMP TABLE t (x)", 1, "temporary"),
        ("CREATE VIRTUAL TABLE f USING fts5(x)", 1, "virtual tables"),
        ("VACUUM", 1, ""),
        ("SELECT $1", 1, "no parameters"),
        ("SELECT 1;\nSELECT '\0'", 2, "NUL"),
    ] {
        let migrations = [migration(1, ORDERS), good.clone(), migration(3, sql)];
        match fixture.migrate(&migrations).await {
            Err(MigrationError::Failed {
                file,
                line: at,
                message,
            }) => {
                assert_eq!((file.as_str(), at), ("0003_test.sql", line), "{sql}: {message}");
                assert!(message.contains(part), "{sql}: {message}");
            }
            other => panic!("{sql}: {other:?}"),
        }
        is_invalid(
            fixture.call.query("SELECT * FROM good", &[]).await,
            "no such table",
        );
        Arc::make_mut(&mut fixture.call.invocation.active);
        fixture.call = fixture.another();
    }
    // The writer is unchanged: foreign keys are enforced, and the schema cannot be changed.
    let call = &mut fixture.call;
    assert!(matches!(
        call.execute("INSERT INTO lines VALUES (2, 99)", &[]).await,
        Err(Error::Constraint(_))
    ));
    is_denied(call.execute("CREATE TABLE t (x)", &[]).await, "migrations");
}

#[tokio::test]
async fn every_way_to_change_a_schema_works() {
    let mut fixture = fixture(Limits::default(), ORDERS).await;
    let sql = "
        ALTER TABLE orders ADD COLUMN state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid'));
        ALTER TABLE orders RENAME COLUMN note TO remark;
        ALTER TABLE orders ADD COLUMN unused TEXT;
        ALTER TABLE orders DROP COLUMN unused;
        ALTER TABLE lines RENAME TO order_lines;
        CREATE UNIQUE INDEX by_remark ON orders (remark) WHERE state = 'new';
        CREATE INDEX by_upper ON orders (upper(remark));
        CREATE VIEW open_orders AS SELECT id, trim(remark) AS remark FROM orders WHERE state = 'new';
        CREATE TRIGGER no_delete BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders stay'); END;
        UPDATE orders SET remark = trim(remark);
        CREATE TABLE copy AS SELECT * FROM orders;
        DROP TABLE copy;
        DROP INDEX by_upper;
        REINDEX;
        ANALYZE orders;
        -- A table that others refer to is rebuilt.
        DROP TRIGGER no_delete;
        DROP VIEW open_orders;
        CREATE TABLE orders_new (id INTEGER PRIMARY KEY, remark TEXT) STRICT;
        INSERT INTO orders_new SELECT id, remark FROM orders;
        DROP TABLE orders;
        ALTER TABLE orders_new RENAME TO orders;
    ";
    fixture
        .migrate(&[migration(1, ORDERS), migration(2, sql)])
        .await
        .unwrap();
    let rows = fixture
        .call
        .query("SELECT remark FROM orders", &[])
        .await
        .unwrap();
    assert!(matches!(&rows.rows[0][0], Value::Text(remark) if remark == "first"));
    assert!(matches!(
        fixture
            .call
            .execute("INSERT INTO order_lines VALUES (2, 99)", &[])
            .await,
        Err(Error::Constraint(_))
    ));
}

#[tokio::test]
async fn rows_without_their_parent_undo_the_migration() {
    let mut fixture = fixture(Limits::default(), ORDERS).await;
    let result = fixture
        .migrate(&[migration(1, ORDERS), migration(2, "DELETE FROM orders")])
        .await;
    assert!(
        matches!(&result, Err(MigrationError::ForeignKeys { table, parent }) if table == "lines" && parent == "orders"),
        "{result:?}"
    );
    assert_eq!(fixture.call.number("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test]
async fn statements_compiled_before_know_the_new_schema() {
    let mut fixture = fixture(Limits::default(), ORDERS).await;
    let sql = "SELECT * FROM orders";
    assert_eq!(fixture.call.query(sql, &[]).await.unwrap().columns.len(), 2);
    let add = migration(2, "ALTER TABLE orders ADD COLUMN total INTEGER");
    fixture.migrate(&[migration(1, ORDERS), add]).await.unwrap();
    assert_eq!(fixture.call.query(sql, &[]).await.unwrap().columns.len(), 3);
}

#[tokio::test]
async fn an_activation_waits_for_a_writer_and_applies_once() {
    let fixture = fixture(Limits::default(), ORDERS).await;
    let all = [migration(1, ORDERS), migration(2, "CREATE TABLE more (x)")];
    let (one, two) = tokio::join!(fixture.migrate(&all), fixture.migrate(&all));
    assert_eq!(one.unwrap().applied.len() + two.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn what_version_control_changes_is_no_change() {
    let fixture = fixture(Limits::default(), "").await;
    let forms = [
        "CREATE TABLE a (x);\nCREATE TABLE b (x);\n",
        "CREATE TABLE a (x);\r\nCREATE TABLE b (x);\r\n",
        "\u{feff}CREATE TABLE a (x);\nCREATE TABLE b (x);",
    ];
    for form in forms {
        fixture.migrate(&[migration(1, form)]).await.unwrap();
    }
    // Earlier hosts took the checksum of the file without normalisation.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let file = rusqlite::Connection::open_with_flags(fixture.file(), flags).unwrap();
    for form in forms {
        use sha2::Digest as _;
        let checksum = sha2::Sha256::digest(form.as_bytes()).to_vec();
        file.execute("UPDATE _mortise_migrations SET checksum = ?1", [checksum])
            .unwrap();
        for other in forms {
            assert_eq!(
                names(&fixture.migrate(&[migration(1, other)]).await.unwrap()),
                (vec![], vec![])
            );
        }
        let changed = fixture.migrate(&[migration(1, "CREATE TABLE a (x);")]).await;
        assert!(matches!(changed, Err(MigrationError::Changed(_))), "{changed:?}");
    }
}

#[tokio::test]
async fn a_number_that_another_migration_took_is_named() {
    let fixture = fixture(Limits::default(), "").await;
    let named = |name: &str, sql: &str| Migration::parse(name, sql).unwrap();
    let first = named("0001_first.sql", "CREATE TABLE a (x)");
    let theirs = named("0002_theirs.sql", "CREATE TABLE b (x)");
    let ours = named("0002_ours.sql", "CREATE TABLE c (x)");
    fixture.migrate(&[first.clone(), theirs.clone()]).await.unwrap();
    let taken = fixture.migrate(&[first.clone(), ours]).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        "the number of the migration 0002_ours.sql is taken: 0002_theirs.sql was applied to this tenant's database \
         under it; keep that file, and give 0002_ours.sql a number above 2"
    );
    // A new name with the same statements is not a change.
    let renamed = named("0002_renamed.sql", "CREATE TABLE b (x)");
    fixture.migrate(&[first, renamed]).await.unwrap();
}

#[tokio::test]
async fn times_are_numbers() {
    let fixture = fixture(Limits::default(), "").await;
    let dated = |number, table: &str| {
        Migration::parse(&format!("{number}_test.sql"), format!("CREATE TABLE {table} (x)")).unwrap()
    };
    let all = [
        migration(1, "CREATE TABLE a (x)"),
        dated(20_240_101_120_000_u64, "b"),
        dated(u64::MAX / 2, "c"),
    ];
    assert_eq!(
        names(&fixture.migrate(&all).await.unwrap()).0,
        [
            "0001_test.sql",
            "20240101120000_test.sql",
            "9223372036854775807_test.sql"
        ]
    );
    assert_eq!(names(&fixture.migrate(&all).await.unwrap()), (vec![], vec![]));
    let (tenant, plugin) = (fixture.tenant(), fixture.call.invocation.active.plugin.clone());
    let applied = fixture.databases.applied(tenant, &plugin).await.unwrap();
    let numbers: Vec<u64> = applied.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [1, 20_240_101_120_000, u64::MAX / 2]);
}

/// Columns of an earlier version are neither rejected nor reported again.
#[tokio::test]
async fn only_new_columns_are_asked_for_their_types() {
    let fixture = fixture(Limits::default(), "").await;
    let old = migration(1, "CREATE TABLE t (price DECIMAL(10, 2))");
    let applied = fixture.migrate(std::slice::from_ref(&old)).await.unwrap();
    assert!(
        applied.warnings[0].contains("`t.price` is declared `DECIMAL(10, 2)`"),
        "{applied:?}"
    );
    let more = migration(2, "ALTER TABLE t ADD COLUMN note TEXT");
    let applied = fixture
        .migrate_for(Contract::V0_2, &[old.clone(), more.clone()])
        .await
        .unwrap();
    assert!(applied.warnings.is_empty(), "{applied:?}");
    let wrong = migration(3, "ALTER TABLE t ADD COLUMN at TIMESTAMP");
    let refused = fixture.migrate_for(Contract::V0_2, &[old, more, wrong]).await;
    assert!(
        matches!(
            &refused,
            Err(MigrationError::Column(message)) if message.contains("`t.at`") && !message.contains("price")
        ),
        "{refused:?}"
    );
}
