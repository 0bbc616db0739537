//! Turns the entries of a tenant's outbox into jobs.
//!
//! Every entry becomes jobs, so that none is lost and none keeps the entries behind it waiting. An
//! entry that this host cannot use, because its text is damaged or a newer host wrote it, becomes a
//! job of a kind that no plugin has: its payload is the entry, it never runs, and the admin API
//! shows it.

use std::num::NonZeroU32;

use serde_json::Value;

use super::events::Subscribers;
use crate::domain::clock::Timestamp;
use crate::domain::event::MOST_RECEIVERS;
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::{Backoff, JobOrigin, NewJob};
use crate::domain::outbox::{OutboxEntry, UNUSABLE_ENTRY};
use crate::domain::webhook_out::OutgoingEvent;

/// What becomes of an unusable entry.
const KEPT: &str = "it is kept as a job that does not run";

/// The plugin of an unusable entry that names none.
const UNKNOWN: &str = "unknown";

/// The jobs of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryJobs {
    /// The jobs.
    pub jobs: Vec<NewJob>,
    /// The event for the tenant's endpoints, whose deliveries are among the jobs.
    pub outgoing: Option<OutgoingEvent>,
    /// What is wrong with the entry, and what becomes of it.
    pub problem: Option<String>,
}

impl EntryJobs {
    /// The bytes of all payloads in the control plane's database, where each job has its own.
    pub fn bytes(&self) -> usize {
        let payloads: usize = self.jobs.iter().map(|job| job.payload.len()).sum();
        payloads + self.outgoing.as_ref().map_or(0, |event| event.body.len())
    }
}

/// Reads an entry of a tenant's database. Its text comes from a file, so nothing in it is relied
/// on: above all, it adds no job for another tenant.
pub(super) fn jobs_of(tenant: TenantId, text: &str, subscribers: &Subscribers, now: Timestamp) -> EntryJobs {
    let problem = match serde_json::from_str(text) {
        Ok(OutboxEntry::Event(event)) => {
            let fan_out = subscribers.fan_out(tenant, &event, now);
            // They were counted when it was published.
            let is_cut = fan_out.jobs.len() >= usize::from(MOST_RECEIVERS)
                && subscribers.count(&event.event.topic).is_err();
            return EntryJobs {
                jobs: fan_out.jobs,
                outgoing: fan_out.outgoing,
                problem: is_cut.then(|| {
                    format!(
                        "the event {} has more than {MOST_RECEIVERS} receivers now; the first {MOST_RECEIVERS} get it",
                        event.event.id
                    )
                }),
            };
        }
        Ok(OutboxEntry::Job(job)) if job.tenant == tenant => {
            return EntryJobs {
                jobs: vec![job],
                outgoing: None,
                problem: None,
            };
        }
        Ok(OutboxEntry::Job(job)) => format!("it belongs to the tenant {}; {KEPT}", job.tenant),
        Err(error) => format!("it cannot be read: {error}; {KEPT}"),
    };
    EntryJobs {
        jobs: vec![unusable(tenant, text, now)],
        outgoing: None,
        problem: Some(problem),
    }
}

fn unusable(tenant: TenantId, text: &str, now: Timestamp) -> NewJob {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let named = [value.get("plugin"), value.pointer("/event/source")];
    let mut named = named.into_iter().flatten().filter_map(Value::as_str);
    let plugin: Option<PluginName> = named.find_map(|name| name.parse().ok());
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: plugin.unwrap_or_else(|| valid(UNKNOWN)),
        name: valid::<JobName>(UNUSABLE_ENTRY),
        payload: text.into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: now,
        max_attempts: NonZeroU32::MIN.get(),
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: now,
    }
}

/// A name that is written above.
fn valid<Name: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Name {
    text.parse().expect("both names are valid, which a test shows")
}
