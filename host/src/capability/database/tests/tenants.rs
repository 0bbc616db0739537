//! Many tenants, and tenants that leave.

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
    // What left is closed on other threads, which may be slower than this one.
    assert!((1..900).contains(&most), "{most}");
    let open = usize::try_from(OPEN_TENANTS).unwrap();
    until(async || (fixture.databases.open_tenants() <= open).then_some(())).await;
}

/// Descriptors of files in `folder`; other tests of this process have their own.
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
    let databases = databases_in(folder.path());
    assert_eq!(
        call(&databases, Some(tenant), Limits::default())
            .number("SELECT id FROM notes")
            .await,
        1
    );
}
