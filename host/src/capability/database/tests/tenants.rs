//! Many tenants, damaged files, and tenants that leave.

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
    assert!((1..900).contains(&most), "{most}");
    let open = fixture.databases.open_tenants();
    assert!(open <= 100, "{open}");
}

/// Descriptors of files in `folder`; other tests of this process have their own.
fn descriptors(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

#[tokio::test]
async fn a_damaged_file_is_its_tenants_trouble_only() {
    let fixture = fixture(Limits::default(), NOTES).await;
    let mut healthy = call(&fixture.databases, None, Limits::default());
    for (name, damage) in [
        (
            "not a database",
            b"this is no database at all, but it is long enough to look like a header".repeat(100),
        ),
        ("truncated", b"SQLite format 3\0".to_vec()),
    ] {
        let mut damaged = call(&fixture.databases, None, Limits::default());
        let file = fixture
            .folder
            .path()
            .join(format!("{}.db", damaged.invocation.active.tenant));
        std::fs::write(&file, damage).unwrap();
        for _ in 0..2 {
            let result = damaged.query("SELECT * FROM sqlite_master", &[]).await;
            is_unavailable(result, "");
            let result = damaged.execute("DELETE FROM sqlite_master", &[]).await;
            assert!(
                matches!(&result, Err(Error::Unavailable(message)) if !message.contains('/')),
                "{name}: {result:?}"
            );
        }
        assert_eq!(healthy.number("SELECT 1").await, 1);
    }
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let mut fixture = fixture(Limits::default(), NOTES).await;
    for _ in 0..50 {
        fixture
            .call
            .execute("INSERT INTO notes (body) VALUES ($1)", &[text(&"x".repeat(500))])
            .await
            .unwrap();
    }
    let (tenant, folder) = (fixture.tenant(), fixture.folder);
    drop((fixture.call, fixture.databases));
    let file = folder.path().join(format!("{tenant}.db"));
    // Closing writes the log back; it happens on another thread.
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while folder.path().join(format!("{tenant}.db-wal")).exists() {
            tokio::task::yield_now().await;
        }
    });
    closed.await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let databases = Arc::new(Databases::new(folder.path(), Arc::new(ManualClock::new(NOW))).unwrap());
    let mut call = call(&databases, Some(tenant), Limits::default());
    is_unavailable(call.query("SELECT body FROM notes", &[]).await, "damaged");
    is_unavailable(call.execute("DELETE FROM notes", &[]).await, "damaged");
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
    // A tenant that was never there is no error.
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
    let databases = Arc::new(Databases::new(folder.path(), Arc::new(ManualClock::new(NOW))).unwrap());
    assert_eq!(
        call(&databases, Some(tenant), Limits::default())
            .number("SELECT id FROM notes")
            .await,
        1
    );
}
