//! Tests with many tenants and with deleted tenants.

use super::*;

const NOTES: &str =
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); CREATE INDEX by_body ON notes (body);";

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    fixture
        .call
        .execute("INSERT INTO notes VALUES (1, 'mine')", &[])
        .await
        .unwrap();
    let mut other = call(&fixture.databases, None, Limits::default());
    is_invalid(other.query("SELECT * FROM notes", &[]).await, "no such table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tenants_cost_a_bounded_number_of_descriptors() {
    let fixture = fixture(Limits::default(), "").await;
    let mut most = 0;
    for _ in 0..300 {
        let mut call = call(&fixture.databases, None, Limits::default());
        assert_eq!(call.number("SELECT 1").await, 1);
        most = most.max(descriptors(fixture.folder.path()));
    }
    // Evicted databases are closed on other threads, which may be slower than this one.
    assert!((1..900).contains(&most), "{most}");
    let few = usize::try_from(DESCRIPTORS).unwrap();
    until(async || {
        let open = fixture.databases.open_tenants();
        (open > 0 && descriptors(fixture.folder.path()) <= few).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_are_opened_when_they_are_needed() {
    let fixture = fixture(Limits::default(), NOTES).await;
    let folder = fixture.folder.path();
    // The connection of the migration is closed on another thread.
    until(async || (descriptors(folder) == 0).then_some(())).await;
    let connections = || fixture.databases.held().connections;
    for _ in 0..3 {
        let mut call = fixture.another();
        assert_eq!(call.number("SELECT count(*) FROM notes").await, 0);
        assert_eq!((connections(), descriptors(folder)), (1, 3));
    }
    let mut call = fixture.another();
    call.execute("INSERT INTO notes VALUES (1, 'mine')", &[])
        .await
        .unwrap();
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 1);
    assert_eq!((connections(), descriptors(folder)), (2, 5));
}

#[tokio::test]
async fn tenants_with_much_in_memory_leave_room_for_fewer() {
    let fixture = fixture(Limits::default(), "").await;
    let large = [text(&"a".repeat(900_000))];
    for _ in 0..12 {
        let mut call = call(&fixture.databases, Some(TenantId::generate()), Limits::default());
        let schema = [migration(1, "CREATE TABLE t (a);")];
        fixture
            .migrate_as(&call, Contract::default(), &schema)
            .await
            .unwrap();
        call.execute("INSERT INTO t VALUES ($1)", &large).await.unwrap();
    }
    // Each has nearly a mebibyte of pages in memory, which weighs as much as more than ten
    // descriptors.
    until(async || (fixture.databases.open_tenants() <= 6).then_some(())).await;
}

#[tokio::test]
async fn a_file_is_whole_once_its_connections_are_closed() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    let log = fixture.log();
    for id in 1..=3 {
        let insert = format!("INSERT INTO notes VALUES ({id}, 'mine')");
        fixture.call.execute(&insert, &[]).await.unwrap();
        assert_eq!(fixture.call.number("SELECT count(*) FROM notes").await, id);
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        until(async || (fixture.databases.held().statements == 0).then_some(())).await;
        fixture.databases.close_all_idle();
        assert!(!log.exists());
    }
}

#[tokio::test]
async fn a_log_that_a_crash_left_is_written_back_where_nobody_writes() {
    let mut crashed = fixture(Limits::default(), NOTES).await;
    crashed
        .call
        .execute("INSERT INTO notes VALUES (1, 'mine')", &[])
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in [crashed.file(), crashed.log()] {
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let databases = databases_in(folder.path());
    let mut call = call(&databases, Some(crashed.tenant()), Limits::default());
    assert_eq!(call.number("SELECT count(*) FROM notes").await, 1);
    until(async || (databases.held().statements == 0).then_some(())).await;
    databases.close_all_idle();
    assert!(!folder.path().join(crashed.log().file_name().unwrap()).exists());
}

/// The number of open descriptors in `folder`. Other tests of this process have their own.
pub(super) fn descriptors(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

#[tokio::test]
async fn a_forgotten_tenant_leaves_nothing_behind() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    fixture
        .call
        .execute("INSERT INTO notes VALUES (1, 'mine')", &[])
        .await
        .unwrap();
    let mut open = fixture.another();
    let transaction = open.begin().await.unwrap();
    let (forgotten, _) = tokio::join!(fixture.databases.forget(fixture.tenant()), async {
        open.commit(&transaction).await.unwrap();
    });
    forgotten.unwrap();
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 0);
    // Deleting an unknown tenant is not an error.
    fixture.databases.forget(TenantId::generate()).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    fixture
        .call
        .execute("INSERT INTO notes VALUES (1, 'mine')", &[])
        .await
        .unwrap();
    let (tenant, folder) = (fixture.tenant(), fixture.folder);
    drop((fixture.call, fixture.databases));
    let databases = databases_in(folder.path());
    assert_eq!(
        call(&databases, Some(tenant), Limits::default())
            .number("SELECT id FROM notes")
            .await,
        1
    );
}
