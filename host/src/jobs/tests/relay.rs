//! Tests of the relay: exactly once, in order, and never stuck.

use super::*;
use crate::domain::job::JobState;
use crate::domain::outbox::OutboxMark;

fn entry(tenant: TenantId, payload: &str) -> OutboxEntry {
    OutboxEntry::Job(job(tenant, "sync", payload))
}

/// The jobs of the next entries, as the relay makes them.
async fn read_next(world: &World, tenant: TenantId) -> (OutboxMark, Vec<(i64, NewJob)>) {
    let mark = world.db.outbox_mark(tenant).await.unwrap();
    let batch = world.databases.outbox(tenant, mark.as_ref(), 100).await.unwrap();
    let job_of = |(sequence, text): (i64, String)| match serde_json::from_str(&text).unwrap() {
        OutboxEntry::Job(job) => (sequence, job),
        OutboxEntry::Event(_) => panic!("there are only jobs"),
    };
    let jobs: Vec<_> = batch.entries.into_iter().map(job_of).collect();
    let sequence = jobs.last().unwrap().0;
    let epoch = batch.epoch.unwrap();
    (OutboxMark { epoch, sequence }, jobs)
}

/// The entries that are still in the file.
pub(super) async fn left(world: &World, tenant: TenantId) -> usize {
    let mark = world.db.outbox_mark(tenant).await.unwrap().unwrap();
    let all = OutboxMark { sequence: 0, ..mark };
    let batch = world.databases.outbox(tenant, Some(&all), 1_000).await.unwrap();
    batch.entries.len()
}

#[tokio::test]
async fn entries_become_jobs_in_their_order_and_are_deleted() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let all: Vec<String> = (0..600).map(|number| format!("{number:03}")).collect();
    let entries: Vec<OutboxEntry> = all.iter().map(|payload| entry(tenant, payload)).collect();
    world.write_outbox(tenant, &entries[..300]).await;
    world.write_outbox(tenant, &entries[300..]).await;
    world.relay.pass().await;
    let mut ran = Vec::new();
    while let claimed @ [_, ..] = &world.claim(10).await[..] {
        for claimed in claimed {
            ran.push(claimed.job.new.payload.to_string());
            world.done(claimed).await;
        }
    }
    assert_eq!(ran, all);
    assert_eq!(left(&world, tenant).await, 0);
    assert_eq!(world.counters.totals().enqueued, 600);
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let world = World::new().await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    world.relay.pass().await;
    world.write_outbox(a, &[entry(a, "1")]).await;
    world.write_outbox(b, &[entry(b, "2")]).await;
    let relay = Arc::new(world.relay);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(relay.run(stop.clone()));
    // The first pass finds both, with or without a wake-up.
    for tenant in [a, b] {
        while world
            .db
            .jobs(tenant, &JobFilter::default(), Page::first(9))
            .await
            .unwrap()
            .is_empty()
        {
            world.wake.for_jobs().await;
        }
    }
    // From here on, only the wake-up tells, since the next look at all is a minute away.
    let scope = Scope {
        tenant: a,
        limits: Arc::new(Limits::default()),
        deadline: Instant::now() + Duration::from_secs(60),
    };
    let mut session = world.databases.clone().session(scope);
    let mut transaction = session.begin().await.unwrap();
    let text = serde_json::to_string(&entry(a, "3")).unwrap();
    let room = world.queue.reserve(a, 1, &Limits::default()).unwrap();
    transaction
        .add_to_outbox(text, room, &*world.queue)
        .await
        .unwrap();
    transaction.commit(Box::new(|_| ())).await.unwrap();
    world.queue.outbox_written(a);
    while world
        .db
        .jobs(a, &JobFilter::default(), Page::first(9))
        .await
        .unwrap()
        .len()
        < 2
    {
        world.wake.for_jobs().await;
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_crash_after_entries_were_read_loses_none() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world
        .write_outbox(tenant, &[entry(tenant, "1"), entry(tenant, "2")])
        .await;
    read_next(&world, tenant).await;
    let world = world.restarted().await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1", "2"]);
}

#[tokio::test]
async fn a_crash_after_the_jobs_were_added_adds_none_twice() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world
        .write_outbox(tenant, &[entry(tenant, "1"), entry(tenant, "2")])
        .await;
    let (mark, jobs) = read_next(&world, tenant).await;
    world.db.relay_jobs(tenant, &mark, &jobs).await.unwrap();
    // Nothing was deleted in the tenant's file, and the jobs have even ended meanwhile.
    for claimed in world.claim(10).await {
        world.done(&claimed).await;
    }
    let world = world.restarted().await;
    assert_eq!(left(&world, tenant).await, 2);
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1", "2"]);
    assert_eq!(left(&world, tenant).await, 0);
    // New entries come after the old ones.
    world.write_outbox(tenant, &[entry(tenant, "3")]).await;
    world.relay.pass().await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_crash_after_entries_were_deleted_changes_nothing() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.write_outbox(tenant, &[entry(tenant, "1")]).await;
    let (mark, jobs) = read_next(&world, tenant).await;
    world.db.relay_jobs(tenant, &mark, &jobs).await.unwrap();
    world.databases.outbox_relayed(tenant, &mark).await.unwrap();
    let world = world.restarted().await;
    world.write_outbox(tenant, &[entry(tenant, "2")]).await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1", "2"]);
}

#[tokio::test]
async fn two_relays_that_read_the_same_entries_add_their_jobs_once() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world
        .write_outbox(tenant, &[entry(tenant, "1"), entry(tenant, "2")])
        .await;
    let (mark, jobs) = read_next(&world, tenant).await;
    world.relay.pass().await;
    // The slower one writes what it read before.
    world.db.relay_jobs(tenant, &mark, &jobs).await.unwrap();
    world.databases.outbox_relayed(tenant, &mark).await.unwrap();
    assert_eq!(world.payloads(tenant).await, ["1", "2"]);
}

#[tokio::test]
async fn an_older_copy_of_a_file_loses_nothing_new_and_repeats_nothing_old() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.write_outbox(tenant, &[entry(tenant, "1")]).await;
    world.relay.pass().await;
    let world = world.restarted().await;
    let file = world.folder.path().join("databases").join(format!("{tenant}.db"));
    let copy = world.folder.path().join("copy");
    std::fs::copy(&file, &copy).unwrap();
    world
        .write_outbox(tenant, &[entry(tenant, "2"), entry(tenant, "3")])
        .await;
    world.relay.pass().await;
    let world = world.restarted().await;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(file.with_extension(format!("db{suffix}")));
    }
    std::fs::rename(&copy, &file).unwrap();
    // These have the sequences of 2 and 3.
    world
        .write_outbox(tenant, &[entry(tenant, "4"), entry(tenant, "5")])
        .await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn an_event_becomes_a_job_for_each_subscriber() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world
        .activate(
            tenant,
            "mail",
            "
        [[job]]
        name = 'confirm'
        attempts = 5
        concurrency = { limit = 1, ordered = true }
        [[subscribe]]
        topic = 'order.created'
        job = 'confirm'
        [[job]]
        name = 'other'
        [[subscribe]]
        topic = 'payment.*'
        job = 'other'
    ",
        )
        .await;
    let other = world.tenant().await;
    let published = event("order.created", "{\"id\":7}");
    world
        .write_outbox(tenant, &[OutboxEntry::Event(published.clone())])
        .await;
    world.relay.pass().await;
    let jobs: Vec<NewJob> = world.jobs(tenant).await.into_iter().map(|job| job.new).collect();
    let kinds: Vec<_> = jobs
        .iter()
        .map(|job| (job.plugin.as_str(), job.name.as_str()))
        .collect();
    // `sync` of the shop subscribes with two patterns.
    assert_eq!(kinds, [("mail", "confirm"), ("shop", "sync")]);
    for job in &jobs {
        assert_eq!(&*job.payload, "{\"id\":7}");
        assert_eq!(
            job.origin,
            JobOrigin::Event {
                event: published.event.clone()
            }
        );
        assert_eq!((job.depth, job.traceparent.as_deref()), (2, Some("00-trace")));
    }
    assert_eq!((jobs[0].max_attempts, jobs[1].max_attempts), (5, 3));
    assert!(jobs[0].concurrency.as_ref().unwrap().bound.ordered);
    assert!(world.jobs(other).await.is_empty());
    // Nobody subscribes to it, which delays nothing.
    let nobody = OutboxEntry::Event(event("stock.low", "{}"));
    world.write_outbox(tenant, &[nobody, entry(tenant, "next")]).await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await.last().unwrap(), "next");
    assert_eq!(world.jobs(tenant).await.len(), 3);
}

#[tokio::test]
async fn a_subscriber_that_cannot_be_served_gets_its_event_later() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.serve_without(tenant, "shop").await;
    let event = OutboxEntry::Event(event("order.created", "1"));
    world.write_outbox(tenant, &[event]).await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1"]);
    assert!(world.claim(1).await.is_empty());
    world.serve(tenant).await;
    world.maintenance.pass().await;
    assert_eq!(world.claim(1).await.len(), 1);
}

#[tokio::test]
async fn an_entry_that_cannot_be_used_is_kept_and_blocks_nothing() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let text = |entry: &OutboxEntry| serde_json::to_string(entry).unwrap();
    let gone = OutboxEntry::Job(job(tenant, "gone", "gone"));
    let newer = text(&entry(tenant, "newer")).replace("\"kind\":\"job\"", "\"kind\":\"newer\"");
    let entries = [
        "no JSON".to_owned(),
        newer.clone(),
        text(&entry(other, "of another tenant")),
        text(&gone),
        text(&entry(tenant, "fine")),
    ];
    world.write_outbox_texts(tenant, &entries).await;
    world.relay.pass().await;
    let jobs = world.jobs(tenant).await;
    let seen: Vec<_> = jobs
        .iter()
        .map(|job| (job.new.plugin.as_str(), job.new.name.as_str(), &*job.new.payload))
        .collect();
    assert_eq!(
        seen,
        [
            ("shop", "gone", "gone"),
            ("shop", "sync", "fine"),
            ("unknown", "unusable-outbox-entry", "no JSON"),
            ("shop", "unusable-outbox-entry", newer.as_str()),
            ("shop", "unusable-outbox-entry", entries[2].as_str()),
        ]
    );
    assert!(world.jobs(other).await.is_empty());
    let claimed = world.claim(10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(&*claimed[0].job.new.payload, "fine");
    // The plugin of one of them does not exist; the others wait for a version that has their job.
    world.maintenance.pass().await;
    let states: Vec<JobState> = world.jobs(tenant).await.iter().map(|job| job.state).collect();
    let held = JobState::Held;
    assert_eq!(states, [held, JobState::Running, JobState::Dead, held, held]);
}

#[tokio::test]
async fn entries_of_a_deleted_tenant_wait_until_it_is_restored() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.write_outbox(tenant, &[entry(tenant, "1")]).await;
    world.db.delete_tenant(tenant, &change(1)).await.unwrap();
    world.serve(tenant).await;
    world.relay.pass().await;
    world.db.restore_tenant(tenant, &change(1)).await.unwrap();
    world.serve(tenant).await;
    world.relay.pass().await;
    assert_eq!(world.payloads(tenant).await, ["1"]);
}
