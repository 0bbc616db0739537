//! Tests of damaged and missing database files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::tenants::descriptors;
use super::*;

const NOTES: &str =
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); CREATE INDEX by_body ON notes (body);";

fn file_of(fixture: &Fixture, call: &Call) -> PathBuf {
    let tenant = call.invocation.active.tenant;
    fixture.folder.path().join(format!("{tenant}.db"))
}

/// Asserts that reads and writes fail and that no message contains the path of the file.
async fn is_out_of_use(call: &mut Call, part: &str) {
    for result in [
        call.query("SELECT * FROM notes", &[]).await.map(|_| 0),
        call.execute("DELETE FROM notes", &[]).await,
    ] {
        assert!(
            matches!(
                &result,
                Err(Error::Unavailable(message)) if message.contains(part) && !message.contains('/')
            ),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_database_is_its_tenants_trouble_only() {
    let fixture = fixture(Limits::default(), NOTES).await;
    let mut healthy = fixture.another();
    let garbage = b"this is no database at all, but it is long enough to look like a header".repeat(100);
    for damage in [garbage, b"SQLite format 3\0".to_vec()] {
        let mut call = call(&fixture.databases, None, Limits::default());
        let (tenant, file) = (call.invocation.active.tenant, file_of(&fixture, &call));
        fs::write(&file, damage).unwrap();
        for _ in 0..3 {
            is_out_of_use(&mut call, "damaged").await;
        }
        assert!(fixture.databases.damaged().contains(&tenant));
        assert_eq!(healthy.number("SELECT count(*) FROM notes").await, 0);
    }
    assert_eq!(fixture.databases.damaged().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_opened_is_used_again_once_it_can() {
    let fixture = fixture(Limits::default(), NOTES).await;
    let mut healthy = fixture.another();
    let elsewhere = fixture.folder.path().join("elsewhere");
    for is_link in [false, true] {
        let mut call = call(&fixture.databases, None, Limits::default());
        let file = file_of(&fixture, &call);
        if is_link {
            symlink(&elsewhere, &file).unwrap();
        } else {
            fs::create_dir(&file).unwrap();
        }
        for _ in 0..3 {
            is_out_of_use(&mut call, "cannot be opened").await;
        }
        assert_eq!(healthy.number("SELECT count(*) FROM notes").await, 0);
        if is_link {
            fs::remove_file(&file).unwrap();
        } else {
            fs::remove_dir(&file).unwrap();
        }
        let tenant = Some(call.invocation.active.tenant);
        let again = || super::call(&fixture.databases, tenant, Limits::default());
        until(async || again().query("SELECT 1", &[]).await.ok()).await;
    }
    assert!(!elsewhere.exists(), "a link is not followed");
    assert!(fixture.databases.damaged().is_empty());
}

#[tokio::test]
async fn a_damaged_page_is_found_and_a_copy_in_its_place_is_used() {
    let fixture = fixture(Limits::default(), NOTES).await;
    for _ in 0..50 {
        fixture
            .another()
            .execute("INSERT INTO notes (body) VALUES ($1)", &[text(&"x".repeat(500))])
            .await
            .unwrap();
    }
    let (tenant, folder) = (fixture.tenant(), fixture.folder);
    drop((fixture.call, fixture.databases));
    let file = folder.path().join(format!("{tenant}.db"));
    // Closing writes the log back, on another thread.
    until(async || (!folder.path().join(format!("{tenant}.db-wal")).exists()).then_some(())).await;
    let copy = folder.path().join("copy");
    fs::copy(&file, &copy).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&file, bytes).unwrap();

    let databases = databases_in(folder.path());
    let again = || call(&databases, Some(tenant), Limits::default());
    is_unavailable(again().query("SELECT body FROM notes", &[]).await, "damaged");
    until(async || databases.damaged().contains(&tenant).then_some(())).await;
    // From now on no call touches the file.
    is_unavailable(again().query("SELECT 1", &[]).await, "damaged");
    is_unavailable(again().begin().await, "damaged");
    let result = databases.applied(tenant, &"plugin".parse().unwrap()).await;
    assert!(matches!(result, Err(super::super::DatabaseError::Unavailable(_))));
    until(async || (descriptors(folder.path()) == 0).then_some(())).await;
    // No empty file is created while the operator has moved the damaged one away.
    fs::remove_file(&file).unwrap();
    is_unavailable(again().execute("DELETE FROM notes", &[]).await, "damaged");
    assert!(!file.exists());

    fs::rename(copy, &file).unwrap();
    assert_eq!(again().number("SELECT count(*) FROM notes").await, 50);
    assert_eq!(
        again()
            .execute("DELETE FROM notes WHERE id <= 10", &[])
            .await
            .unwrap(),
        10
    );
    assert!(databases.damaged().is_empty());
}

#[tokio::test]
async fn a_log_that_is_garbage_is_left_out() {
    let fixture = fixture(Limits::default(), NOTES).await;
    let (tenant, folder) = (fixture.tenant(), fixture.folder);
    drop((fixture.call, fixture.databases));
    let log = folder.path().join(format!("{tenant}.db-wal"));
    until(async || (!log.exists()).then_some(())).await;
    fs::write(&log, b"garbage".repeat(10_000)).unwrap();
    let databases = databases_in(folder.path());
    let mut call = call(&databases, Some(tenant), Limits::default());
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 0);
    assert_eq!(
        call.execute("INSERT INTO notes VALUES (1, 'x')", &[])
            .await
            .unwrap(),
        1
    );
}
