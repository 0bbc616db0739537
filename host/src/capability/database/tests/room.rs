//! Tests of the costs of a statement besides its rows: disk space, and work while it is compiled.

use std::time::Duration;

use super::super::super::bindings::database::HostCursor as _;
use super::*;
use crate::domain::units::{ByteSize, Span};

const NOTES: &str =
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, body); INSERT INTO notes VALUES (1, 'x'), (2, 'y');";

/// Limits under which no statement fails for its time.
fn patient() -> Limits {
    Limits {
        sql_time: Span::s(600),
        wall: Span::s(600),
        sql_statements: 1_000,
        ..Default::default()
    }
}

#[tokio::test]
async fn what_would_be_copied_too_often_is_refused_before_it_is_compiled() {
    let fixture = fixture(patient(), NOTES).await;
    let steps: String = (1..40)
        .map(|step| format!(", c{step} AS (SELECT a.x FROM c{0} a, c{0} b)", step - 1))
        .collect();
    let doubling = format!("WITH c0 AS (SELECT 1 AS x){steps} SELECT count(*) FROM c39");
    let from = (0..20).fold("notes".to_owned(), |inner, _| {
        format!("(SELECT coalesce(body, body, body, body) AS body FROM {inner})")
    });
    let nested = format!("SELECT body FROM {from}");
    // Compiling either one would take hours and more memory than there is.
    for sql in [&doubling, &nested] {
        is_limit(fixture.another().query(sql, &[]).await, "copied too often");
        is_limit(fixture.another().execute(sql, &[]).await, "copied too often");
        is_limit(
            fixture.another().view().open(sql.clone(), vec![]).await.unwrap(),
            "copied too often",
        );
    }

    let mut views: Vec<String> = (1..40)
        .map(|step| {
            format!(
                "CREATE VIEW v{step} AS SELECT a.body FROM v{0} a, v{0} b;",
                step - 1
            )
        })
        .collect();
    views.insert(0, "CREATE VIEW v0 AS SELECT body FROM notes;".to_owned());
    for _ in 0..2 {
        let result = fixture
            .migrate(&[migration(1, NOTES), migration(2, &views.concat())])
            .await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("copied too often"), "{error}");
        views.reverse();
    }
    let few = [migration(1, NOTES), migration(2, &views[..4].concat())];
    fixture.migrate(&few).await.unwrap();
    assert_eq!(fixture.another().number("SELECT count(*) FROM v3").await, 256);
    let late = "CREATE VIEW w AS SELECT 1 FROM v3 a, v3 b, v3 c;".to_owned();
    let later = (0..12).fold(late, |all, step| {
        format!(
            "{all} CREATE VIEW w{step} AS SELECT 1 FROM {0}, {0} AS b;",
            if step == 0 {
                "w".to_owned()
            } else {
                format!("w{}", step - 1)
            }
        )
    });
    let result = fixture
        .migrate(&[few[0].clone(), few[1].clone(), migration(3, &later)])
        .await;
    assert!(result.unwrap_err().to_string().contains("copied too often"));
}

/// A column is compiled again for each use in another column, so forty columns would be a million
/// million instructions.
#[tokio::test]
async fn generated_columns_that_use_each_other_are_bounded() {
    let table = |count: usize| {
        let columns: String = (1..count)
            .map(|number| format!(", c{number} AS (c{0} || c{0} || 'x')", number - 1))
            .collect();
        format!("CREATE TABLE t{count} (c0 TEXT{columns});")
    };
    let mut fixture = fixture(Limits::default(), &table(6)).await;
    fixture
        .call
        .execute("INSERT INTO t6 (c0) VALUES ('')", &[])
        .await
        .unwrap();
    assert_eq!(
        fixture
            .call
            .query("SELECT c5 FROM t6", &[])
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
    let began = tokio::time::Instant::now();
    let added = [migration(1, &table(6)), migration(2, &table(40))];
    let error = fixture.migrate(&added).await.unwrap_err().to_string();
    assert!(error.contains("more instructions"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(fixture.call.number("SELECT count(*) FROM t6").await, 1);
}

#[tokio::test]
async fn the_larger_a_compiled_statement_the_shorter_its_values() {
    let mut fixture = fixture(patient(), NOTES).await;
    let call = &mut fixture.call;
    let value = [text(&"1".repeat(1_000_000))];
    let sums = |count: usize| format!("SELECT {}", vec!["$1 + $1"; count].join(", "));
    call.query(&sums(20), &value).await.unwrap();
    for _ in 0..2 {
        is_limit(call.query(&sums(1_500), &value).await, "too large");
    }
    // The limit also applies in a schema to a short statement.
    let columns: String = (0..1_500)
        .map(|number| format!(", c{number} AS (body + body)"))
        .collect();
    let wide = format!("CREATE TABLE wide (body TEXT{columns});");
    fixture
        .migrate(&[migration(1, NOTES), migration(2, &wide)])
        .await
        .unwrap();
    let call = &mut fixture.call;
    call.execute("INSERT INTO wide (body) VALUES ('1')", &[])
        .await
        .unwrap();
    is_limit(
        call.query("SELECT * FROM wide WHERE body <> $1", &value).await,
        "too large",
    );
    // The next statement has its usual limits.
    assert_eq!(
        call.query("SELECT length($1)", &value).await.unwrap().rows.len(),
        1
    );
}

#[tokio::test]
async fn what_is_sorted_has_a_room() {
    let limits = Limits {
        database_size: ByteSize::mib(1),
        ..patient()
    };
    let mut fixture = fixture(limits, NOTES).await;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        SELECT count(*) FROM (SELECT DISTINCT $1 || x FROM n)";
    let result = fixture.call.query(endless, &[text(&"a".repeat(100_000))]).await;
    is_limit(result, "sorts or changes more");
    assert_eq!(fixture.call.number("SELECT count(*) FROM notes").await, 2);
}

#[tokio::test]
async fn a_reader_that_stays_does_not_let_the_log_grow_for_ever() {
    let mut fixture = fixture(patient(), NOTES).await;
    let cursor = fixture
        .call
        .view()
        .open("SELECT id FROM notes".to_owned(), vec![])
        .await
        .unwrap()
        .unwrap();
    let borrowed = || Resource::new_borrow(cursor.rep());
    assert_eq!(
        fixture
            .call
            .view()
            .next(borrowed(), 1)
            .await
            .unwrap()
            .unwrap()
            .len(),
        1
    );
    let mut writer = fixture.another();
    // Each write has new content, because SQLite does not write unchanged pages.
    let large = |content: u8| [Value::Blob(vec![content; 1_000_000])];
    let update = "UPDATE notes SET body = $1 WHERE id = 1";
    let mut written = 0_u8;
    let refused = loop {
        match writer.execute(update, &large(written)).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        let length = std::fs::metadata(fixture.file().with_extension("db-wal"))
            .unwrap()
            .len();
        assert!(written < 200, "the log has no end: {length}");
    };
    assert!(
        matches!(&refused, Error::Conflict(message) if message.contains("end cursors sooner")),
        "{refused:?}"
    );
    let log = fixture.file().with_extension("db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() < 80 * 1024 * 1024);
    // The reader is not disturbed, and when it has finished, the log is written back.
    assert_eq!(
        fixture
            .call
            .view()
            .next(borrowed(), 1)
            .await
            .unwrap()
            .unwrap()
            .len(),
        1
    );
    assert!(
        fixture
            .call
            .view()
            .next(borrowed(), 1)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    until(async || writer.execute(update, &large(255)).await.ok()).await;
    assert!(std::fs::metadata(&log).unwrap().len() < 10 * 1024 * 1024);
}

#[tokio::test]
async fn an_interrupted_statement_ends_soon_also_where_each_step_is_large() {
    let limits = Limits {
        sql_time: Span::ms(200),
        ..patient()
    };
    let mut fixture = fixture(limits, NOTES).await;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        SELECT count(*) FROM n WHERE json_valid($1 || x) OR upper($1 || x) = lower($1 || x)";
    for _ in 0..3 {
        is_limit(
            fixture.call.query(endless, &[text(&"[1,".repeat(300_000))]).await,
            "longer than",
        );
    }
    // All its readers are free, so no statement still runs.
    tokio::time::timeout(Duration::from_secs(20), async {
        for _ in 0..4 {
            assert_eq!(fixture.another().number("SELECT count(*) FROM notes").await, 2);
        }
    })
    .await
    .unwrap();
}
