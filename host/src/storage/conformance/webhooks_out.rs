//! Conformance tests of endpoints for webhooks and of deliveries.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::jobs::{NOW, later};
use super::{change, tenant};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, EventId, JobId, TenantId};
use crate::domain::outbox::{OutboxMark, PublishedEvent};
use crate::domain::webhook_out::{
    Delivery, DeliveryAttempt, DeliveryState, Endpoint, EndpointTopics, FanOut, NotedAttempt, deliveries,
    disabled_event,
};
use crate::storage::vault::Sealed;
use crate::storage::{Added, DeliveryFilter, DeliveryPosition, JobFilter, Page, Replayed, Repository};

/// Creates an endpoint that is enabled.
pub async fn endpoint(repository: &dyn Repository, tenant: TenantId, topics: &[&str]) -> Endpoint {
    let endpoint = Endpoint {
        id: EndpointId::generate(),
        url: "https://hooks.example.com/a".to_owned(),
        description: "accounting".to_owned(),
        topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        enabled: true,
        rate_per_minute: None,
        created_at: NOW,
        failing_since: None,
        disabled_at: None,
        disabled_because: None,
    };
    let secret = Sealed::from_bytes(vec![1]);
    repository
        .add_endpoint(tenant, &endpoint, &secret, &change(NOW.0))
        .await
        .unwrap();
    endpoint
}

fn published(topic: &str) -> PublishedEvent {
    PublishedEvent {
        event: Event {
            id: EventId::generate(),
            source: "orders".parse().unwrap(),
            topic: topic.parse().unwrap(),
            time: NOW,
        },
        data: json!({ "order": 7 }).to_string(),
        depth: 0,
        traceparent: None,
    }
}

/// What an event becomes for these endpoints.
fn fan_out(tenant: TenantId, event: &PublishedEvent, endpoints: &[&Endpoint]) -> FanOut {
    let endpoints: Vec<EndpointTopics> = endpoints
        .iter()
        .map(|endpoint| EndpointTopics {
            id: endpoint.id,
            topics: endpoint.topics.clone(),
        })
        .collect();
    deliveries(tenant, event, &endpoints, NOW)
}

/// Publishes an event for one endpoint. Returns its delivery.
async fn deliver(repository: &dyn Repository, tenant: TenantId, endpoint: &Endpoint) -> Delivery {
    let fan_out = fan_out(tenant, &published("order.created"), &[endpoint]);
    repository.add_fan_out(tenant, &fan_out).await.unwrap();
    let id = fan_out.outgoing.unwrap().deliveries[0].id;
    repository.delivery(tenant, id).await.unwrap().unwrap()
}

async fn all(repository: &dyn Repository, tenant: TenantId) -> Vec<Delivery> {
    let filter = DeliveryFilter::default();
    repository
        .deliveries(tenant, &filter, Page::first(1_000))
        .await
        .unwrap()
}

fn attempt(number: u32, state: DeliveryState, at: Timestamp) -> NotedAttempt {
    let is_over = state != DeliveryState::Waiting;
    let is_delivered = state == DeliveryState::Delivered;
    NotedAttempt {
        attempt: DeliveryAttempt {
            number,
            at,
            took: Duration::from_millis(12),
            status: Some(if is_delivered { 200 } else { 500 }),
            error: (!is_delivered).then(|| "the endpoint answered 500".to_owned()),
            answer: Some("oops".to_owned()),
        },
        state,
        attempts_before: 0,
        ended_at: at,
        next_at: (!is_over).then(|| at.saturating_add(Duration::from_secs(5))),
    }
}

pub async fn endpoints_are_created_changed_and_deleted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let first = endpoint(repository, acme, &["order.*"]).await;
    let second = endpoint(repository, acme, &[">"]).await;
    let listed = repository.endpoints(acme, Page::first(10)).await.unwrap();
    assert_eq!(listed, [first.clone(), second.clone()]);
    let rest = repository
        .endpoints(acme, Page::after(first.id, 10))
        .await
        .unwrap();
    assert_eq!(rest, std::slice::from_ref(&second));
    assert_eq!(repository.counts(acme, NOW).await.unwrap().webhook_endpoints, 2);

    let changed = Endpoint {
        url: "https://hooks.example.com/b".to_owned(),
        enabled: false,
        rate_per_minute: NonZeroU32::new(60),
        ..first.clone()
    };
    assert!(
        repository
            .change_endpoint(acme, &changed, &change(5))
            .await
            .unwrap()
    );
    let found = repository.endpoint(acme, first.id).await.unwrap().unwrap();
    assert_eq!((found.enabled, found.disabled_at), (false, Some(Timestamp(5))));
    assert_eq!(found.rate_per_minute, changed.rate_per_minute);
    // The snapshot has those that get events.
    let routed = repository.routed_tenant(acme).await.unwrap().unwrap();
    let ids: Vec<_> = routed.endpoints.iter().map(|endpoint| endpoint.id).collect();
    assert_eq!(ids, [second.id]);
    assert_eq!(routed.endpoints[0].topics, second.topics);

    deliver(repository, acme, &second).await;
    assert!(
        repository
            .delete_endpoint(acme, second.id, &change(6))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_endpoint(acme, second.id, &change(6))
            .await
            .unwrap()
    );
    assert!(all(repository, acme).await.is_empty());
    assert_eq!(repository.tenants_with_endpoints().await.unwrap(), [acme]);
}

pub async fn the_secrets_of_an_endpoint_overlap_during_a_rotation(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let second = Sealed::from_bytes(vec![2]);
    let rotate = async |secret: &Sealed, until| {
        repository
            .rotate_secret(acme, endpoint.id, secret, until, &change(NOW.0))
            .await
            .unwrap()
    };
    assert!(rotate(&second, later(60)).await);
    let valid = async |at| {
        let secrets = repository.endpoint_secrets(acme, endpoint.id, at).await.unwrap();
        let bytes = secrets.iter().map(|secret| secret.sealed.as_bytes().to_vec());
        bytes.collect::<Vec<_>>()
    };
    assert_eq!(valid(later(59)).await, [vec![2_u8], vec![1]]);
    assert_eq!(valid(later(60)).await, [vec![2_u8]]);
    let missing = repository
        .rotate_secret(acme, EndpointId::generate(), &second, later(1), &change(1))
        .await;
    assert!(!missing.unwrap());
}

pub async fn a_fan_out_is_stored_with_its_jobs(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let first = endpoint(repository, acme, &["order.*"]).await;
    let second = endpoint(repository, acme, &[">"]).await;
    let gone = endpoint(repository, acme, &[">"]).await;
    repository
        .delete_endpoint(acme, gone.id, &change(1))
        .await
        .unwrap();
    let event = published("order.created");
    let fan_out = fan_out(acme, &event, &[&first, &second, &gone]);
    for repeated in [false, true] {
        let added = repository.add_fan_out(acme, &fan_out).await.unwrap();
        let is_new = |added: &Added| matches!(added, Added::New(_));
        assert_eq!(added.iter().all(is_new), !repeated, "{added:?}");
    }
    let found = all(repository, acme).await;
    assert_eq!(found.len(), 2, "the endpoint that was deleted has none");
    for delivery in &found {
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Waiting, 0));
        assert_eq!(delivery.event, event.event);
        let (job, _) = repository.job(acme, delivery.job).await.unwrap().unwrap();
        assert_eq!(&*job.new.payload, delivery.id.to_string());
        let body = repository
            .delivery_body(acme, delivery.id)
            .await
            .unwrap()
            .unwrap();
        assert!(body.contains("\"data\":{\"order\":7}"), "{body}");
    }
    let to_first = DeliveryFilter {
        endpoint: Some(first.id),
        states: vec![DeliveryState::Waiting],
        topic: Some("order.created".parse().unwrap()),
        from: Some(NOW),
        to: Some(later(1)),
    };
    let found = repository
        .deliveries(acme, &to_first, Page::first(10))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let rest = Page::after(DeliveryPosition(found[0].id), 10);
    assert!(
        repository
            .deliveries(acme, &to_first, rest)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn an_event_of_an_outbox_is_delivered_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let mut entries = Vec::new();
    for sequence in 1..=2 {
        entries.push((sequence, fan_out(acme, &published("order.created"), &[&endpoint])));
    }
    let relay = async |up_to: i64| {
        let mark = OutboxMark {
            epoch: "a".to_owned(),
            sequence: up_to,
        };
        let (mut jobs, mut events) = (Vec::new(), Vec::new());
        for (sequence, fan_out) in entries.iter().filter(|(sequence, _)| *sequence <= up_to) {
            jobs.extend(fan_out.jobs.iter().map(|job| (*sequence, job.clone())));
            events.extend(fan_out.outgoing.iter().map(|event| (*sequence, event.clone())));
        }
        let added = repository.relay_events(acme, &mark, &jobs, &events).await;
        added.unwrap().len()
    };
    assert_eq!(relay(1).await, 1);
    assert_eq!(relay(2).await, 1);
    assert_eq!(relay(2).await, 0);
    assert_eq!(all(repository, acme).await.len(), 2);
}

pub async fn attempts_change_a_delivery_and_its_endpoint(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let delivery = deliver(repository, acme, &endpoint).await;
    let note = async |noted: &NotedAttempt| repository.note_attempt(acme, delivery.id, noted).await.unwrap();
    let failing_since = note(&attempt(1, DeliveryState::Waiting, later(1))).await;
    assert_eq!(failing_since, Some(later(1)));
    assert_eq!(
        note(&attempt(2, DeliveryState::Waiting, later(6))).await,
        Some(later(1))
    );
    let found = repository.delivery(acme, delivery.id).await.unwrap().unwrap();
    assert_eq!((found.attempts, found.status), (2, Some(500)));
    assert_eq!((found.next_at, found.ended_at), (Some(later(11)), None));
    assert_eq!(note(&attempt(3, DeliveryState::Delivered, later(20))).await, None);
    let found = repository.delivery(acme, delivery.id).await.unwrap().unwrap();
    assert_eq!(found.state, DeliveryState::Delivered);
    assert_eq!((found.error, found.ended_at), (None, Some(later(20))));
    let attempts = repository.delivery_attempts(acme, delivery.id).await.unwrap();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(200)]);
    assert_eq!(attempts[0].answer.as_deref(), Some("oops"));
    let missing = DeliveryId::generate();
    let noted = attempt(1, DeliveryState::Delivered, NOW);
    assert_eq!(
        repository.note_attempt(acme, missing, &noted).await.unwrap(),
        None
    );

    // What was given up stays as it is, and what ended is not given up.
    let give_up = async |id, job| {
        repository
            .give_up_delivery(acme, id, job, DeliveryState::Cancelled, Some("no"), later(30))
            .await
            .unwrap();
        repository.delivery(acme, id).await.unwrap().unwrap()
    };
    let ended = give_up(delivery.id, delivery.job).await;
    assert_eq!(ended.state, DeliveryState::Delivered);
    let other = deliver(repository, acme, &endpoint).await;
    assert_eq!(
        give_up(other.id, JobId::generate()).await.state,
        DeliveryState::Waiting
    );
    let cancelled = give_up(other.id, other.job).await;
    assert_eq!(cancelled.state, DeliveryState::Cancelled);
    assert_eq!(cancelled.error.as_deref(), Some("no"));
}

pub async fn a_delivery_that_ended_is_sent_again_by_a_new_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let delivery = deliver(repository, acme, &endpoint).await;
    let replay = async |id| {
        repository
            .replay_delivery(acme, id, &change(later(9).0))
            .await
            .unwrap()
    };
    assert_eq!(replay(delivery.id).await, Some(Replayed::Waits(delivery.job)));
    assert_eq!(replay(DeliveryId::generate()).await, None);
    let failed = attempt(1, DeliveryState::Failed, later(1));
    repository.note_attempt(acme, delivery.id, &failed).await.unwrap();
    let Some(Replayed::Added(Added::New(job))) = replay(delivery.id).await else {
        panic!("a new job was added");
    };
    let found = repository.delivery(acme, delivery.id).await.unwrap().unwrap();
    assert_eq!((found.job, found.state), (job, DeliveryState::Waiting));
    assert_eq!((found.attempts, found.attempts_before), (1, 1));

    // A delivery whose job was purged gets a new one as well.
    let all_jobs = JobFilter::default();
    assert_eq!(
        repository
            .purge_jobs(acme, &all_jobs, 10, &change(1))
            .await
            .unwrap(),
        2
    );
    let again = replay(delivery.id).await;
    assert!(matches!(again, Some(Replayed::Added(Added::New(_)))), "{again:?}");

    let other = deliver(repository, acme, &endpoint).await;
    repository.note_attempt(acme, other.id, &failed).await.unwrap();
    let failed_ones = DeliveryFilter {
        endpoint: Some(endpoint.id),
        states: vec![DeliveryState::Failed],
        ..DeliveryFilter::default()
    };
    for wanted in [1, 0] {
        let added = repository
            .replay_deliveries(acme, &failed_ones, 10, &change(1))
            .await
            .unwrap();
        assert_eq!(added.len(), wanted);
    }
}

pub async fn deliveries_that_are_old_or_too_many_are_deleted_with_their_bodies(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let mut ids = Vec::new();
    for second in 1..=5 {
        let delivery = deliver(repository, acme, &endpoint).await;
        let noted = attempt(1, DeliveryState::Delivered, later(second));
        repository.note_attempt(acme, delivery.id, &noted).await.unwrap();
        ids.push(delivery.id);
    }
    let waiting = deliver(repository, acme, &endpoint).await;
    assert_eq!(repository.prune_deliveries(later(2), 10).await.unwrap(), 1);
    assert_eq!(repository.trim_deliveries(acme, 3, 10).await.unwrap(), 1);
    assert_eq!(repository.trim_deliveries(acme, 3, 10).await.unwrap(), 0);
    let left: Vec<_> = all(repository, acme)
        .await
        .iter()
        .map(|delivery| delivery.id)
        .collect();
    assert_eq!(left, [waiting.id, ids[4], ids[3], ids[2]]);
    let filter = DeliveryFilter::default();
    let purged = repository.purge_deliveries(acme, &filter, 2, &change(1)).await;
    assert_eq!(purged.unwrap(), 2);
    let purged = repository.purge_deliveries(acme, &filter, 2, &change(1)).await;
    assert_eq!(purged.unwrap(), 1);
    assert_eq!(all(repository, acme).await, std::slice::from_ref(&waiting));
    assert!(
        repository
            .delivery_attempts(acme, ids[4])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(repository.delivery_body(acme, ids[4]).await.unwrap().is_none());
    assert!(
        repository
            .delivery_body(acme, waiting.id)
            .await
            .unwrap()
            .is_some()
    );
}

pub async fn an_endpoint_is_disabled_once_and_told_of(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let dead = endpoint(repository, acme, &[">"]).await;
    let other = endpoint(repository, acme, &["webhook.>"]).await;
    let told = fan_out(acme, &disabled_event(&dead, "it is gone", NOW), &[&other]);
    let disable = async || {
        let change = Change::new(Change::HOST, "webhook.endpoint.disable", "x", NOW);
        repository
            .disable_endpoint(acme, dead.id, "it is gone", &told, &change)
            .await
            .unwrap()
    };
    assert_eq!(disable().await.map(|added| added.len()), Some(1));
    assert_eq!(disable().await, None);
    let found = repository.endpoint(acme, dead.id).await.unwrap().unwrap();
    assert_eq!((found.enabled, found.disabled_at), (false, Some(NOW)));
    assert_eq!(found.disabled_because.as_deref(), Some("it is gone"));
    let told = all(repository, acme).await;
    assert_eq!((told.len(), told[0].endpoint), (1, other.id));
    // Enabling it forgets why it was disabled.
    let enabled = Endpoint {
        enabled: true,
        ..found
    };
    repository
        .change_endpoint(acme, &enabled, &change(2))
        .await
        .unwrap();
    let found = repository.endpoint(acme, dead.id).await.unwrap().unwrap();
    assert_eq!(
        (found.enabled, found.disabled_at, found.disabled_because),
        (true, None, None)
    );
}

pub async fn deliveries_of_other_tenants_are_not_found(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let endpoint = endpoint(repository, acme, &[">"]).await;
    let delivery = deliver(repository, acme, &endpoint).await;
    assert!(repository.endpoint(other, endpoint.id).await.unwrap().is_none());
    assert!(repository.delivery(other, delivery.id).await.unwrap().is_none());
    assert!(
        repository
            .delivery_body(other, delivery.id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !repository
            .delete_endpoint(other, endpoint.id, &change(1))
            .await
            .unwrap()
    );
    assert!(all(repository, other).await.is_empty());
}
