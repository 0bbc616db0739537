//! Tests of jobs and events that transactions add: their order, and that each is relayed once,
//! whatever happens to the file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::capability::jobs::QueueError;
use crate::domain::event::TopicPattern;
use crate::domain::outbox::{OutboxEntry, OutboxMark};
use crate::domain::units::ByteSize;

const COUNTS: &str = "CREATE TABLE counts (n INTEGER NOT NULL); INSERT INTO counts VALUES (0);";

/// A data folder of one tenant, whose host can be stopped and whose file can be replaced.
struct Restarts {
    folder: tempfile::TempDir,
    databases: Arc<SqliteDatabases>,
    tenant: TenantId,
    queue: Arc<QueueInMemory>,
    epochs: Vec<String>,
}

impl Restarts {
    async fn new() -> Self {
        let fixture = fixture(Limits::default(), COUNTS).await;
        Self {
            tenant: fixture.tenant(),
            queue: fixture.call.queue.clone(),
            folder: fixture.folder,
            databases: fixture.databases,
            epochs: Vec::new(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.tenant))
    }

    fn call(&self) -> Call {
        call(&self.databases, Some(self.tenant), Limits::default()).with_queue(&self.queue)
    }

    async fn enqueue(&self) -> String {
        self.call().enqueue().await
    }

    /// Relays once, as the host does. Returns the ids of the jobs.
    async fn relay(&mut self) -> Vec<String> {
        let mark = self.queue.told().marks.get(&self.tenant).cloned();
        let batch = self
            .databases
            .outbox(self.tenant, mark.as_ref(), 100)
            .await
            .unwrap();
        let Some(epoch) = batch.epoch else {
            return Vec::new();
        };
        if self.epochs.last() != Some(&epoch) {
            assert!(!self.epochs.contains(&epoch), "an epoch never returns");
            self.epochs.push(epoch.clone());
        }
        if let Some((sequence, _)) = batch.entries.last() {
            let mark = OutboxMark {
                epoch,
                sequence: *sequence,
            };
            self.queue.told().marks.insert(self.tenant, mark.clone());
            self.databases.outbox_relayed(self.tenant, &mark).await.unwrap();
        }
        batch.entries.iter().map(|(_, entry)| id_of(entry)).collect()
    }

    /// Stops the host, does something with the file and starts it again.
    async fn restart(&mut self, between: impl FnOnce(PathBuf, PathBuf)) {
        self.databases.clone().close().await;
        let log = self.folder.path().join(format!("{}.db-wal", self.tenant));
        until(async || (!log.exists()).then_some(())).await;
        between(self.file(), self.folder.path().join("copy"));
        self.databases = databases_in(self.folder.path());
    }

    async fn back_up(&mut self) {
        self.restart(|file, copy| _ = fs::copy(file, copy).unwrap()).await;
    }

    /// Puts a copy in the place of the file: in the same file, or as another one.
    async fn restore(&mut self, in_place: bool) {
        self.restart(|file, copy| put_back(&file, &copy, in_place)).await;
    }
}

fn put_back(file: &Path, copy: &Path, in_place: bool) {
    if !in_place {
        fs::remove_file(file).unwrap();
    }
    fs::copy(copy, file).unwrap();
}

fn id_of(entry: &str) -> String {
    match serde_json::from_str(entry).unwrap() {
        OutboxEntry::Job(job) => job.id.to_string(),
        OutboxEntry::Event(event) => event.event.id.to_string(),
    }
}

#[tokio::test]
async fn entries_have_the_order_of_the_commits_and_wake_the_relay_once_for_each() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let (tenant, mut other) = (fixture.tenant(), fixture.another());
    let call = &mut fixture.call;
    let granted: TopicPattern = "order.*".parse().unwrap();
    let active = Arc::make_mut(&mut call.invocation.active);
    Arc::make_mut(&mut active.grants).events.insert(granted);
    let transaction = call.begin().await.unwrap();
    let mut ids = vec![call.enqueue_in(&transaction).await.unwrap()];
    let published = call
        .view()
        .publish(borrowed(&transaction), "order.created".to_owned(), "7".to_owned())
        .await
        .unwrap();
    ids.push(published.unwrap());
    assert!(call.queue.told().written.is_empty());
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.queue.told().written, [tenant]);
    ids.push(other.enqueue().await);
    assert_eq!(call.queue.told().written, [tenant, tenant]);
    assert_eq!(
        (
            call.invocation.usage.jobs_enqueued,
            call.invocation.usage.events_published
        ),
        (1, 1)
    );

    let mark = call.queue.told().marks[&tenant].clone();
    let all = fixture.databases.outbox(tenant, Some(&mark), 100).await.unwrap();
    assert_eq!(all.epoch.as_ref(), Some(&mark.epoch));
    let found: Vec<_> = all.entries.iter().map(|(_, entry)| id_of(entry)).collect();
    assert_eq!(found, ids);
    let sequences: Vec<i64> = all.entries.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let OutboxEntry::Event(event) = serde_json::from_str(&all.entries[1].1).unwrap() else {
        panic!("the second entry is the event");
    };
    assert_eq!(
        (event.event.topic.as_str(), event.data.as_str()),
        ("order.created", "7")
    );

    // Nothing happens to entries whose relaying is not recorded.
    let first = fixture.databases.outbox(tenant, Some(&mark), 1).await.unwrap();
    assert_eq!(first.entries, all.entries[..1]);
    let mark = OutboxMark { sequence: 2, ..mark };
    let rest = fixture.databases.outbox(tenant, Some(&mark), 100).await.unwrap();
    assert_eq!(rest.entries, all.entries[2..]);
    fixture.databases.outbox_relayed(tenant, &mark).await.unwrap();
    let left = fixture.databases.outbox(tenant, None, 100).await.unwrap();
    assert_eq!(left.entries, all.entries[2..]);
    // A mark of another epoch deletes nothing.
    let elsewhere = OutboxMark {
        epoch: "other".to_owned(),
        sequence: 100,
    };
    fixture
        .databases
        .outbox_relayed(tenant, &elsewhere)
        .await
        .unwrap();
    let left = fixture.databases.outbox(tenant, None, 100).await.unwrap();
    assert_eq!(left.entries.len(), 1);
}

#[tokio::test]
async fn a_rollback_leaves_nothing() {
    let mut host = Restarts::new().await;
    let mut call = host.call();
    let transaction = call.begin().await.unwrap();
    call.enqueue_in(&transaction).await.unwrap();
    call.rollback(&transaction).await.unwrap();
    let transaction = call.begin().await.unwrap();
    call.enqueue_in(&transaction).await.unwrap();
    drop(call);
    assert_eq!(host.relay().await, [""; 0]);
    assert!(host.queue.told().written.is_empty());
    let id = host.enqueue().await;
    assert_eq!(host.relay().await, [id]);
    assert_eq!(host.relay().await, [""; 0]);
}

#[tokio::test]
async fn a_tenant_without_a_database_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let databases = databases_in(folder.path());
    let (tenant, job) = (TenantId::generate(), JobId::generate());
    let batch = databases.outbox(tenant, None, 100).await.unwrap();
    assert_eq!((batch.epoch, batch.entries), (None, Vec::new()));
    assert!(!databases.is_completed(tenant, job).await.unwrap());
    assert_eq!(databases.job_traces(tenant, None, 10).await.unwrap(), []);
    databases.forget_jobs(tenant, &[job]).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // If there should be one, nothing is said about it.
    databases.mark_missing(tenant);
    assert!(databases.outbox(tenant, None, 100).await.is_err());
    assert!(databases.is_completed(tenant, job).await.is_err());
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let mut host = Restarts::new().await;
    let first = host.enqueue().await;
    host.restart(|_, _| ()).await;
    let second = host.enqueue().await;
    assert_eq!(host.relay().await, [first, second]);
    host.restart(|_, _| ()).await;
    let third = host.enqueue().await;
    host.restart(|_, _| ()).await;
    assert_eq!(host.relay().await, [third]);
    assert_eq!(host.epochs.len(), 1);
}

#[tokio::test]
async fn an_older_copy_of_the_file_loses_no_new_entry_and_repeats_no_old_one() {
    for in_place in [true, false] {
        for relays_first in [true, false] {
            let mut host = Restarts::new().await;
            let relayed = host.enqueue().await;
            assert_eq!(host.relay().await, [relayed]);
            let in_copy = host.enqueue().await;
            host.back_up().await;
            assert_eq!(host.relay().await, [in_copy]);
            let after = [host.enqueue().await, host.enqueue().await];
            assert_eq!(host.relay().await, after);
            assert_eq!(host.epochs.len(), 1);

            host.restore(in_place).await;
            if relays_first {
                assert_eq!(host.relay().await, [""; 0], "in place: {in_place}");
            }
            let new = host.enqueue().await;
            assert_eq!(host.relay().await, [new], "in place: {in_place}");
            assert_eq!(host.epochs.len(), 2);
            // The same copy once more.
            host.restore(in_place).await;
            let new = [host.enqueue().await, host.enqueue().await];
            assert_eq!(host.relay().await, new, "in place: {in_place}");
            assert_eq!(host.epochs.len(), 3);
        }
    }
}

#[tokio::test]
async fn a_copy_from_before_the_first_entry_begins_anew() {
    let mut host = Restarts::new().await;
    host.back_up().await;
    let old = [host.enqueue().await, host.enqueue().await];
    assert_eq!(host.relay().await, old);
    host.restore(false).await;
    assert_eq!(host.relay().await, [""; 0]);
    let new = host.enqueue().await;
    assert_eq!(host.relay().await, [new]);
    assert_eq!(host.epochs.len(), 2);
}

#[tokio::test]
async fn a_file_that_was_moved_keeps_the_entries_that_were_not_relayed() {
    let mut host = Restarts::new().await;
    let relayed = host.enqueue().await;
    assert_eq!(host.relay().await, [relayed]);
    let waiting = host.enqueue().await;
    host.back_up().await;
    host.restore(false).await;
    assert_eq!(host.relay().await, [waiting]);
    assert_eq!(host.epochs.len(), 2);
    // Also if it is moved again before the first entry of its new epoch is relayed.
    let waiting = host.enqueue().await;
    for _ in 0..2 {
        host.back_up().await;
        host.restore(false).await;
        host.call().execute("UPDATE counts SET n = 1", &[]).await.unwrap();
    }
    let next = host.enqueue().await;
    assert_eq!(host.relay().await, [waiting, next]);
}

#[tokio::test]
async fn a_copy_is_noticed_although_the_first_transaction_on_it_is_rolled_back() {
    let mut host = Restarts::new().await;
    host.back_up().await;
    let old = [host.enqueue().await, host.enqueue().await];
    assert_eq!(host.relay().await, old);
    host.back_up().await;
    let later = host.enqueue().await;
    assert_eq!(host.relay().await, [later]);
    host.restore(true).await;
    let mut call = host.call();
    let transaction = call.begin().await.unwrap();
    call.enqueue_in(&transaction).await.unwrap();
    call.rollback(&transaction).await.unwrap();
    let new = host.enqueue().await;
    assert_eq!(host.relay().await, [new]);
}

#[tokio::test]
async fn a_file_that_is_replaced_while_the_host_runs_is_noticed_when_it_is_opened() {
    let mut host = Restarts::new().await;
    let old = host.enqueue().await;
    assert_eq!(host.relay().await, [old]);
    host.back_up().await;
    let later = host.enqueue().await;
    assert_eq!(host.relay().await, [later]);
    host.databases.close_idle(host.tenant);
    put_back(&host.file(), &host.folder.path().join("copy"), false);
    assert_eq!(host.relay().await, [""; 0]);
    assert_eq!(host.epochs.len(), 2);
    let new = host.enqueue().await;
    assert_eq!(host.relay().await, [new]);
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_wakes_the_relay_too() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.enqueue_in(&transaction).await.unwrap();
    {
        let mut view = call.view();
        let mut commit = std::pin::pin!(view.commit(borrowed(&transaction)));
        // Polled once, so the work has begun, and dropped.
        _ = tokio::time::timeout(Duration::ZERO, &mut commit).await;
    }
    let tenant = fixture.tenant();
    // The commit was stopped before it began, or the relay was told.
    let mut after = fixture.another();
    after.execute("UPDATE counts SET n = 1", &[]).await.unwrap();
    let batch = fixture.databases.outbox(tenant, None, 10).await.unwrap();
    assert_eq!(batch.entries.len(), after.queue.told().written.len());
}

#[tokio::test]
async fn what_cannot_be_added_is_a_typed_error_and_the_transaction_goes_on() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let mut full = fixture.another();
    let active = Arc::make_mut(&mut full.invocation.active);
    Arc::make_mut(&mut active.limits).job_backlog = 1;
    let transaction = full.begin().await.unwrap();
    full.enqueue_in(&transaction).await.unwrap();
    is_limit(full.enqueue_in(&transaction).await, "job_backlog");
    let unknown = NewJob {
        name: "c".to_owned(),
        ..job()
    };
    is_invalid(
        full.view()
            .enqueue(borrowed(&transaction), unknown)
            .await
            .unwrap(),
        "it has `a`, `b`",
    );
    is_denied(
        full.view()
            .publish(borrowed(&transaction), "order.created".to_owned(), String::new())
            .await
            .unwrap(),
        "not granted",
    );
    full.commit(&transaction).await.unwrap();
    assert_eq!(full.invocation.usage.jobs_enqueued, 1);

    let call = &mut fixture.call;
    call.queue.fail(Some(QueueError::Unavailable));
    let transaction = call.begin().await.unwrap();
    is_unavailable(call.enqueue_in(&transaction).await, "try again");
    call.queue.fail(None);
    call.commit(&transaction).await.unwrap();
    is_invalid(call.enqueue_in(&transaction).await, "is over");
}

#[tokio::test]
async fn entries_count_in_the_size_of_the_database_and_may_be_large() {
    let limits = Limits {
        job_payload: ByteSize::mib(1),
        host_call_bytes: ByteSize::mib(2),
        database_size: ByteSize::mib(8),
        ..Limits::default()
    };
    let mut fixture = fixture(limits, COUNTS).await;
    let call = &mut fixture.call;
    // Each of these characters takes six bytes in JSON.
    let large = || NewJob {
        payload: "\u{1}".repeat(512 * 1024),
        ..job()
    };
    let transaction = call.begin().await.unwrap();
    call.view()
        .enqueue(borrowed(&transaction), large())
        .await
        .unwrap()
        .unwrap();
    assert!(call.invocation.usage.database_bytes > 3 * 1024 * 1024);
    call.commit(&transaction).await.unwrap();
    let transaction = call.begin().await.unwrap();
    let mut result = Ok(String::new());
    for _ in 0..3 {
        result = result.and(
            call.view()
                .enqueue(borrowed(&transaction), large())
                .await
                .unwrap(),
        );
    }
    is_limit(result, "database_size");
    let batch = fixture
        .databases
        .outbox(fixture.tenant(), None, 10)
        .await
        .unwrap();
    assert!(batch.entries[0].1.len() > 3 * 1024 * 1024);
}

#[tokio::test]
async fn plugins_cannot_touch_the_tables_of_the_host() {
    let mut fixture = fixture(Limits::default(), COUNTS).await;
    let call = &mut fixture.call;
    call.enqueue().await;
    for sql in [
        "SELECT * FROM _mortise_outbox",
        "SELECT epoch FROM _Mortise_Outbox_Epoch",
        "DELETE FROM _mortise_outbox",
        "UPDATE _mortise_outbox SET entry = '{}'",
        "INSERT INTO _mortise_outbox (entry) VALUES ('{}')",
        "INSERT INTO counts SELECT seq FROM _mortise_outbox",
    ] {
        is_denied(call.execute(sql, &[]).await, "the host's own");
    }
    for sql in [
        "SELECT seq FROM sqlite_sequence",
        "SELECT (SELECT max(seq) FROM sqlite_sequence)",
    ] {
        is_denied(call.query(sql, &[]).await, "`sqlite_sequence`");
    }
    for sql in [
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 0",
        "INSERT INTO sqlite_sequence VALUES ('_mortise_outbox', 0)",
    ] {
        is_denied(call.execute(sql, &[]).await, "");
    }
    for sql in [
        "DELETE FROM sqlite_sequence;",
        "CREATE TABLE t (seq REFERENCES _mortise_outbox (seq));",
        "CREATE TRIGGER t AFTER INSERT ON _mortise_outbox BEGIN DELETE FROM counts; END;",
        "DROP TABLE _mortise_outbox;",
        "ALTER TABLE counts RENAME TO _mortise_counts;",
        "CREATE VIEW v AS SELECT entry FROM _mortise_outbox;",
    ] {
        let migrations = [migration(1, COUNTS), migration(2, sql)];
        assert!(fixture.migrate(&migrations).await.is_err(), "{sql}");
    }
}
