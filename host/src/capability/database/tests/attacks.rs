//! Tests of hostile SQL.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);
    INSERT INTO notes (body) VALUES ('kept');
    CREATE VIEW bodies AS SELECT body FROM notes;";

#[tokio::test]
async fn other_files_are_out_of_reach() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let target = fixture.folder.path().join("x.db");
    let call = &mut fixture.call;
    for sql in [
        format!("ATTACH '{}' AS x", target.display()),
        "ATTACH ':memory:' AS x".to_owned(),
        "ATTACH 'file:x?mode=memory' AS x".to_owned(),
        format!("VACUUM INTO '{}'", target.display()),
        "VACUUM".to_owned(),
        "DETACH main".to_owned(),
    ] {
        is_denied(call.execute(&sql, &[]).await, "ATTACH");
        is_denied(call.query(&sql, &[]).await, "ATTACH");
    }
    assert!(!target.exists());
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 1);
}

#[tokio::test]
async fn functions_outside_the_list_are_denied() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    for sql in [
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('x')",
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT format('%d', 1)",
        "SELECT zeroblob(1000000)",
        "SELECT hex(randomblob(1000000))",
        "SELECT sqlite_version()",
        "SELECT sqlite_compileoption_get(0)",
        "SELECT last_insert_rowid()",
        "SELECT sqlite_rename_table('main', 'table', 'x', 'y', 'z', 'w', 0)",
    ] {
        let result = fixture.call.query(sql, &[]).await;
        assert!(
            matches!(result, Err(Error::Denied(_) | Error::Invalid(_))),
            "{sql}: {result:?}"
        );
    }
    is_denied(
        fixture.call.query("SELECT last_insert_rowid()", &[]).await,
        "RETURNING",
    );
}

#[tokio::test]
async fn pragmas_transactions_and_the_schema_are_denied() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let call = &mut fixture.call;
    for sql in [
        "PRAGMA max_page_count = 1000000",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA trusted_schema = ON",
        "PRAGMA query_only = OFF",
        "PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_table_info('notes')",
    ] {
        is_denied(call.query(sql, &[]).await, "PRAGMA");
        is_denied(call.execute(sql, &[]).await, "PRAGMA");
    }
    for sql in [
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "END",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO mortise",
    ] {
        is_denied(call.execute(sql, &[]).await, "`begin` of the database interface");
    }
    for sql in [
        "CREATE TABLE t (a)",
        "CREATE TABLE IF NOT EXISTS notes (a)",
        "CREATE INDEX i ON notes (body)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END",
        "DROP TABLE notes",
        "DROP VIEW bodies",
        "ALTER TABLE notes RENAME TO n",
        "ALTER TABLE notes ADD COLUMN x",
        "REINDEX notes",
        "ANALYZE",
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_master SET sql = ''",
        "DELETE FROM sqlite_schema",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
    ] {
        let result = call.execute(sql, &[]).await;
        assert!(
            matches!(result, Err(Error::Denied(_) | Error::Invalid(_))),
            "{sql}: {result:?}"
        );
    }
    is_denied(call.execute("CREATE TABLE t (a)", &[]).await, "migrations");
    for sql in ["CREATE TEMP TABLE t (a)", "CREATE TEMP VIEW v AS SELECT 1"] {
        is_denied(call.execute(sql, &[]).await, "");
    }
    assert_eq!(call.number("SELECT count(*) FROM bodies").await, 1);
    assert_eq!(
        call.execute("INSERT INTO notes (body) VALUES ('more')", &[])
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn the_hosts_tables_are_out_of_reach() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let call = &mut fixture.call;
    for sql in [
        "SELECT * FROM _mortise_migrations",
        "SELECT count(*) FROM _MORTISE_migrations",
        "SELECT 1 FROM notes WHERE EXISTS (SELECT 1 FROM _mortise_migrations)",
        "DELETE FROM _mortise_migrations",
        "UPDATE _mortise_migrations SET number = 1",
        "INSERT INTO _mortise_migrations SELECT 1, 2, 3, 4, 5",
    ] {
        is_denied(call.query(sql, &[]).await, "the host's own");
    }
    is_denied(call.query("SELECT * FROM dbstat", &[]).await, "dbstat");
}

#[tokio::test]
async fn a_statement_of_the_host_is_not_to_be_had_from_the_cache() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.commit(&transaction).await.unwrap();
    is_denied(call.execute("BEGIN IMMEDIATE", &[]).await, "");
    is_denied(call.execute("COMMIT", &[]).await, "");
    fixture
        .databases
        .applied(fixture.call.invocation.active.tenant, &"plugin".parse().unwrap())
        .await
        .unwrap();
    let sql = "SELECT number, name, checksum, applied_at FROM _mortise_migrations WHERE plugin = ?1 ORDER BY number";
    is_denied(fixture.call.query(sql, &[text("plugin")]).await, "");
}

#[tokio::test]
async fn endless_statements_end() {
    let limits = Limits {
        sql_time: crate::domain::units::Span::ms(100),
        ..Default::default()
    };
    let mut fixture = fixture(limits, NOTES).await;
    let call = &mut fixture.call;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    for _ in 0..4 {
        let began = Instant::now();
        is_limit(call.query(endless, &[]).await, "took longer than");
        assert!(
            began.elapsed() < Duration::from_millis(600),
            "{:?}",
            began.elapsed()
        );
    }
    let writes = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO notes (body) SELECT x FROM n";
    is_limit(call.execute(writes, &[]).await, "took longer than");
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 1);
}

#[tokio::test]
async fn functions_and_bound_patterns_get_on_with_each_other() {
    let schema = "CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
        CREATE INDEX by_title ON notes (title COLLATE NOCASE);
        INSERT INTO notes (title, body) VALUES (' a ', NULL), ('b', 'x');
        CREATE VIEW tidy AS SELECT replace(title, ' ', '_') AS title FROM notes;
        CREATE TRIGGER tidied AFTER INSERT ON notes BEGIN UPDATE notes SET title = trim(title) WHERE id = new.id; END;
        ANALYZE notes;";
    let mut fixture = fixture(Limits::default(), schema).await;
    let call = &mut fixture.call;
    for pattern in ["%a%", "b%", "%", "b"] {
        for sql in [
            "SELECT trim(title) FROM notes WHERE title LIKE $1",
            "SELECT trim(title) FROM notes WHERE title GLOB $1 OR lower(title) LIKE $1 ESCAPE '!'",
            "SELECT title FROM tidy WHERE title LIKE $1",
            "SELECT instr(title, 'a') FROM notes WHERE title = $1 OR title IN ($1, 'b')",
            "UPDATE notes SET title = replace(title, 'q', 'r') WHERE title LIKE $1 RETURNING unhex(id)",
        ] {
            call.query(sql, &[text(pattern)])
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
    // The functions do not limit the size of a row.
    let large = "y".repeat(900_000);
    let insert = "INSERT INTO notes (title, body) VALUES (trim($1), $2)";
    call.execute(insert, &[text(" c "), text(&large)]).await.unwrap();
    let update =
        "UPDATE notes SET body = $1, title = ltrim(rtrim(trim(replace(title, 'c', 'd')))) WHERE title = 'c'";
    assert_eq!(call.execute(update, &[text(&large)]).await.unwrap(), 1);
    let twelve = format!("SELECT {} FROM notes", ["trim(title)"; 12].join(", "));
    assert_eq!(call.query(&twelve, &[]).await.unwrap().rows.len(), 3);
}

#[tokio::test]
async fn statements_are_bounded_in_size_and_shape() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let call = &mut fixture.call;
    is_limit(
        call.query("SELECT length($1)", &[Value::Blob(vec![0; 1024 * 1024 + 1])])
            .await,
        "too large",
    );
    assert!(
        call.query("SELECT length($1)", &[Value::Blob(vec![0; 1024 * 1024])])
            .await
            .is_ok()
    );
    let repeated = |piece: &str, count: usize| vec![piece; count].join(",");
    let deep = |count: usize| format!("SELECT {}1", "1+".repeat(count));
    let parameters = |count: usize| {
        let names: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
        format!("SELECT 1 IN ({})", names.join(","))
    };
    let number = |count: usize| vec![Value::Integer(1); count];
    // Statements just within and just beyond each of SQLite's own limits.
    for (sql, count, fits) in [
        (format!("SELECT '{}'", "a".repeat(100 * 1024)), 0, false),
        (deep(490), 0, true),
        (deep(501), 0, false),
        (format!("SELECT {}", repeated("1", 2_000)), 0, true),
        (format!("SELECT {}", repeated("1", 2_001)), 0, false),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(499)), 0, true),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(500)), 0, false),
        (format!("SELECT coalesce({})", repeated("1", 1_000)), 0, true),
        (format!("SELECT coalesce({})", repeated("1", 1_001)), 0, false),
        (format!("SELECT 'a' LIKE '%{}'", "a".repeat(49)), 0, true),
        (format!("SELECT 'a' LIKE '%{}'", "a".repeat(50)), 0, false),
        (parameters(2_000), 2_000, true),
        (format!("SELECT 1 FROM {}", repeated("notes", 65)), 0, false),
    ] {
        let result = call.query(&sql, &number(count)).await;
        let begin = &sql[..20];
        match (&result, fits) {
            (Ok(_), true) | (Err(Error::Limit(_)), false) => {}
            _ => panic!("{begin}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_full_database_is_a_limit_and_reads_go_on() {
    let limits = Limits {
        database_size: crate::domain::units::ByteSize::kib(256),
        ..Default::default()
    };
    let mut fixture = fixture(limits, NOTES).await;
    let large = Value::Blob(vec![7; 100_000]);
    let insert = "INSERT INTO notes (body) VALUES ($1)";
    fixture
        .call
        .execute(insert, std::slice::from_ref(&large))
        .await
        .unwrap();
    fixture
        .call
        .execute(insert, std::slice::from_ref(&large))
        .await
        .unwrap();
    is_limit(
        fixture.call.execute(insert, std::slice::from_ref(&large)).await,
        "full",
    );
    assert_eq!(fixture.call.number("SELECT count(*) FROM notes").await, 3);
    let mut bigger = call(&fixture.databases, Some(fixture.tenant()), Limits::default());
    bigger
        .execute(insert, std::slice::from_ref(&large))
        .await
        .unwrap();
    is_limit(fixture.call.execute(insert, &[large]).await, "full");
    fixture.call.execute("DELETE FROM notes", &[]).await.unwrap();
    fixture.call.execute(insert, &[text("fits again")]).await.unwrap();
}

#[tokio::test]
async fn a_view_or_trigger_of_a_migration_has_no_more_rights_than_a_plugin() {
    for sql in [
        "CREATE VIEW evil AS SELECT load_extension('x')",
        "CREATE TABLE t (a); CREATE TRIGGER evil AFTER INSERT ON t BEGIN DELETE FROM _mortise_migrations; END;",
        "CREATE TRIGGER evil AFTER INSERT ON _mortise_migrations BEGIN SELECT 1; END;",
        "CREATE VIEW evil AS SELECT * FROM _mortise_migrations",
    ] {
        let fixture = fixture(Limits::default(), NOTES).await;
        let mut call = fixture.another();
        // SQLite checks views and triggers when they are used, not when they are created.
        if fixture
            .migrate(&[migration(1, NOTES), migration(2, sql)])
            .await
            .is_ok()
        {
            let result = if sql.contains("VIEW") {
                call.query("SELECT * FROM evil", &[]).await.map(|_| 0)
            } else {
                call.execute("INSERT INTO t VALUES (1)", &[]).await
            };
            assert!(
                matches!(result, Err(Error::Denied(_) | Error::Invalid(_))),
                "{sql}: {result:?}"
            );
        }
    }
}
