//! Conformance tests of received webhooks.

use super::{change, name, plugin, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, ReceivedId, TenantId};
use crate::domain::job::{Backoff, JobOrigin, NewJob};
use crate::domain::received::{NewReceived, WebhookContent};
use crate::storage::{
    Added, KeptWebhooks, Page, Receipt, ReceivedFilter, ReceivedPosition, Repository, WebhookCounts,
};

const NOW: Timestamp = Timestamp(5_000);

const MUCH: KeptWebhooks = KeptWebhooks {
    count: 1_000,
    bytes: 1_000_000,
};

/// Bytes of the headers of the webhooks in these tests.
const HEADERS: u64 = 2;

/// A webhook of the plugin `orders` with a body of 100 bytes.
fn webhook(tenant: TenantId, message: &str, at: i64) -> NewReceived {
    NewReceived {
        id: ReceivedId::generate(),
        tenant,
        plugin: name("orders"),
        webhook: name("stripe"),
        message: message.to_owned(),
        content: WebhookContent {
            headers: Vec::new(),
            body: "x".repeat(100),
        },
        received_at: Timestamp(at),
    }
}

fn job(received: &NewReceived) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant: received.tenant,
        plugin: received.plugin.clone(),
        name: name("on-stripe"),
        payload: received.id.to_string().into(),
        origin: JobOrigin::Webhook {
            name: received.webhook.clone(),
            received: received.id,
        },
        priority: 0,
        run_at: NOW,
        max_attempts: 3,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: NOW,
    }
}

/// Stores a webhook. Returns its id and that of its job.
async fn store(repository: &dyn Repository, received: &NewReceived, most: KeptWebhooks) -> JobId {
    let job = job(received);
    let receipt = repository.receive_webhook(received, &job, most).await.unwrap();
    assert_eq!(receipt, Receipt::New(received.id));
    job.id
}

/// Ends the job of a webhook.
async fn end(repository: &dyn Repository, tenant: TenantId, job: JobId) {
    let cancelled = repository.cancel_job(tenant, job, NOW, &change(1)).await.unwrap();
    assert!(cancelled.is_some());
}

async fn messages(repository: &dyn Repository, tenant: TenantId) -> Vec<String> {
    let all = ReceivedFilter::default();
    let found = repository
        .received_webhooks(tenant, &all, Page::first(100))
        .await
        .unwrap();
    found.into_iter().map(|received| received.message).collect()
}

pub async fn a_webhook_is_stored_once_with_its_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let mut first = webhook(acme, "evt_1", 1_000);
    first.content.headers = vec![("a".to_owned(), "b".to_owned())];
    let job_id = store(repository, &first, MUCH).await;
    let (stored, _) = repository.job(acme, job_id).await.unwrap().unwrap();
    assert_eq!(&*stored.new.payload, first.id.to_string());
    assert_eq!(
        stored.new.origin,
        JobOrigin::Webhook {
            name: name("stripe"),
            received: first.id
        }
    );
    let content = repository.webhook_content(acme, first.id).await.unwrap();
    assert_eq!(content, Some(first.content.clone()));
    assert_eq!(repository.webhook_content(other, first.id).await.unwrap(), None);
    assert_eq!(repository.received_webhook(other, first.id).await.unwrap(), None);

    let again = webhook(acme, "evt_1", 2_000);
    let repeated = repository
        .receive_webhook(&again, &job(&again), MUCH)
        .await
        .unwrap();
    assert_eq!(repeated, Receipt::Repeated(first.id));
    let received = repository
        .received_webhook(acme, first.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((received.repeats, received.job), (1, job_id));
    assert_eq!(
        (received.received_at, received.last_at),
        (Timestamp(1_000), Timestamp(2_000))
    );
    // The same message of another tenant, plugin or webhook is another one.
    let mut elsewhere = webhook(acme, "evt_1", 3_000);
    elsewhere.webhook = name("other");
    store(repository, &elsewhere, MUCH).await;
    let mut elsewhere = webhook(acme, "evt_1", 3_000);
    elsewhere.plugin = name("shop");
    store(repository, &elsewhere, MUCH).await;
    store(repository, &webhook(other, "evt_1", 3_000), MUCH).await;
    let counts = repository.webhook_counts(acme).await.unwrap();
    assert_eq!((counts.received, counts.bytes), (3, 300 + 2 * HEADERS + 11));
}

pub async fn the_oldest_webhooks_whose_jobs_have_ended_make_room(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let most = KeptWebhooks { count: 2, ..MUCH };
    let waits = webhook(acme, "waits", 1_000);
    store(repository, &waits, most).await;
    let ended = webhook(acme, "ended", 2_000);
    let job = store(repository, &ended, most).await;
    end(repository, acme, job).await;
    store(repository, &webhook(acme, "third", 3_000), most).await;
    assert_eq!(messages(repository, acme).await, ["third", "waits"]);
    // Those that wait are kept, however many they are.
    store(repository, &webhook(acme, "fourth", 4_000), most).await;
    assert_eq!(messages(repository, acme).await, ["fourth", "third", "waits"]);
    assert_eq!(repository.webhook_counts(acme).await.unwrap().received, 3);
    // The content goes with the row.
    assert_eq!(repository.webhook_content(acme, ended.id).await.unwrap(), None);
}

pub async fn webhooks_that_wait_for_their_jobs_leave_no_room(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let one = 100 + HEADERS;
    let most = KeptWebhooks {
        bytes: 2 * one,
        ..MUCH
    };
    let first = store(repository, &webhook(acme, "first", 1_000), most).await;
    store(repository, &webhook(acme, "second", 2_000), most).await;
    let third = webhook(acme, "third", 3_000);
    let full = repository
        .receive_webhook(&third, &job(&third), most)
        .await
        .unwrap();
    assert_eq!(full, Receipt::Full);
    assert_eq!(messages(repository, acme).await, ["second", "first"]);
    let counts = WebhookCounts {
        received: 2,
        bytes: 2 * one,
    };
    assert_eq!(repository.webhook_counts(acme).await.unwrap(), counts);
    end(repository, acme, first).await;
    store(repository, &third, most).await;
    assert_eq!(messages(repository, acme).await, ["third", "second"]);
    assert_eq!(repository.webhook_counts(acme).await.unwrap(), counts);
}

pub async fn received_webhooks_are_filtered_and_paged_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    for (number, webhook_name) in ["stripe", "github", "stripe"].into_iter().enumerate() {
        let at = i64::try_from(number).unwrap() * 1_000;
        let mut received = webhook(acme, &format!("evt_{number}"), at);
        received.webhook = name(webhook_name);
        store(repository, &received, MUCH).await;
    }
    assert_eq!(messages(repository, acme).await, ["evt_2", "evt_1", "evt_0"]);
    let found = async |filter: ReceivedFilter| {
        let found = repository
            .received_webhooks(acme, &filter, Page::first(9))
            .await
            .unwrap();
        found
            .into_iter()
            .map(|received| received.message)
            .collect::<Vec<_>>()
    };
    let of_stripe = ReceivedFilter {
        webhook: Some(name("stripe")),
        ..ReceivedFilter::default()
    };
    assert_eq!(found(of_stripe.clone()).await, ["evt_2", "evt_0"]);
    let early = ReceivedFilter {
        to: Some(Timestamp(2_000)),
        ..of_stripe
    };
    assert_eq!(found(early).await, ["evt_0"]);
    let late = ReceivedFilter {
        from: Some(Timestamp(1_000)),
        ..ReceivedFilter::default()
    };
    assert_eq!(found(late).await, ["evt_2", "evt_1"]);
    let elsewhere = ReceivedFilter {
        plugin: Some(name("shop")),
        ..ReceivedFilter::default()
    };
    assert!(found(elsewhere).await.is_empty());
    let all = ReceivedFilter::default();
    let page = repository
        .received_webhooks(acme, &all, Page::first(1))
        .await
        .unwrap();
    let rest = Page::after(ReceivedPosition(page[0].id), 9);
    let rest = repository.received_webhooks(acme, &all, rest).await.unwrap();
    assert_eq!(rest.len(), 2);
}

pub async fn a_received_webhook_is_replayed_when_its_job_has_ended(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let received = webhook(acme, "evt_1", 1_000);
    let first = store(repository, &received, MUCH).await;
    let replay = job(&received);
    let replayed = repository
        .replay_webhook(acme, received.id, &replay, &change(9))
        .await
        .unwrap();
    assert_eq!(replayed, Some(Added::Exists(first)), "its job is live");
    end(repository, acme, first).await;
    let replayed = repository
        .replay_webhook(acme, received.id, &replay, &change(9))
        .await
        .unwrap();
    assert_eq!(replayed, Some(Added::New(replay.id)));
    let stored = repository
        .received_webhook(acme, received.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.job, replay.id);
    let missing = ReceivedId::generate();
    let replayed = repository
        .replay_webhook(acme, missing, &job(&received), &change(9))
        .await
        .unwrap();
    assert_eq!(replayed, None);
}

pub async fn received_webhooks_are_deleted_one_by_one_and_when_they_are_old(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let old = webhook(acme, "old", 1_000);
    let waits = webhook(acme, "waits", 1_000);
    let recent = webhook(acme, "recent", 3_000);
    for received in [&old, &recent] {
        let job = store(repository, received, MUCH).await;
        end(repository, acme, job).await;
    }
    store(repository, &waits, MUCH).await;
    assert_eq!(repository.prune_received(Timestamp(2_000), 10).await.unwrap(), 1);
    assert_eq!(repository.prune_received(Timestamp(2_000), 10).await.unwrap(), 0);
    assert_eq!(repository.webhook_counts(acme).await.unwrap().received, 2);
    assert!(
        repository
            .delete_received(acme, recent.id, &change(9))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_received(acme, recent.id, &change(9))
            .await
            .unwrap()
    );
    let other = tenant(repository, "other").await.id;
    assert!(
        !repository
            .delete_received(other, waits.id, &change(9))
            .await
            .unwrap()
    );
    assert_eq!(messages(repository, acme).await, ["waits"]);
    assert_eq!(repository.webhook_content(acme, recent.id).await.unwrap(), None);
}

pub async fn a_purged_plugin_leaves_no_received_webhooks(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    plugin(repository, acme, "orders").await;
    plugin(repository, acme, "shop").await;
    store(repository, &webhook(acme, "gone", 1_000), MUCH).await;
    let mut stays = webhook(acme, "stays", 1_000);
    stays.plugin = name("shop");
    store(repository, &stays, MUCH).await;
    let purged = repository
        .purge_plugin(acme, &name("orders"), &change(9))
        .await
        .unwrap();
    assert!(purged);
    assert_eq!(messages(repository, acme).await, ["stays"]);
    assert_eq!(repository.webhook_counts(acme).await.unwrap().received, 1);
    repository.purge_tenant(acme, &change(9)).await.unwrap();
    assert_eq!(
        repository.webhook_counts(acme).await.unwrap(),
        WebhookCounts::default()
    );
}
