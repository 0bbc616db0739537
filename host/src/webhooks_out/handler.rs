//! Runs the jobs of deliveries: one attempt each, at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::health::{EndpointHealth, Turn};
use super::outcome::Outcome;
use super::signature::{SigningSecret, seconds, signatures};
use crate::capability::http_client::{HostRequest, HostResponse, HttpClients};
use crate::domain::audit::{Change, Difference};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::job::{Ending, Job, JobState};
use crate::domain::webhook_out::{
    DISABLED_AFTER, Delivery, DeliveryAttempt, DeliveryState, Endpoint, NotedAttempt, disabled_event,
};
use crate::jobs::{HostJobHandler, Queue};
use crate::metrics::DeliveryCounters;
use crate::storage::vault::Vault;
use crate::storage::{DbError, Repository, secret_name};

/// The longest time of one attempt.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The most bytes of an answer that are kept.
const ANSWER: usize = 16 * 1_024;

/// How long a delivery waits if the host itself could not make the attempt.
const AFTER_FAULT: Duration = Duration::from_secs(60);

/// What an endpoint of 120 hours of only failures is told.
const TOO_LONG: &str = "it accepted no delivery for 120 hours";

/// Why a delivery is given up.
const DISABLED: &str = "the endpoint is disabled; enable it and replay the delivery";

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The parts of a host that deliveries need.
pub struct Parts {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Opens the secrets of endpoints.
    pub vault: Arc<Vault>,
    /// Sends requests.
    pub http: Arc<HttpClients>,
    /// Tells that an endpoint was disabled.
    pub queue: Arc<Queue>,
    /// Counts attempts.
    pub counters: Arc<DeliveryCounters>,
    /// The clock.
    pub clock: SharedClock,
}

/// Sends deliveries.
pub struct DeliveryHandler {
    parts: Parts,
    health: EndpointHealth,
}

/// A delivery that can be sent.
struct Ready {
    delivery: Delivery,
    endpoint: Endpoint,
    body: Bytes,
    secrets: Vec<SigningSecret>,
}

/// Why an attempt ends before anything was sent.
enum NotSent {
    /// The job ends, or waits.
    Ends(Ending),
    /// The host failed. The text says how.
    Fault(String),
}

#[async_trait]
impl HostJobHandler for DeliveryHandler {
    async fn run(&self, job: &Job) -> Ending {
        let tenant = job.new.tenant;
        let ready = match self.prepare(job).await {
            Ok(ready) => ready,
            Err(NotSent::Ends(ending)) => return ending,
            Err(NotSent::Fault(why)) => return self.again(why),
        };
        match self.send(tenant, &ready).await {
            Ok(ending) => ending,
            Err(error) => self.again(format!("the attempt could not be recorded: {error}")),
        }
    }

    async fn gave_up(&self, job: &Job) -> Result<(), DbError> {
        let Ok(id) = job.new.payload.parse::<DeliveryId>() else {
            return Ok(());
        };
        let state = match job.state {
            JobState::Cancelled => DeliveryState::Cancelled,
            _ => DeliveryState::Failed,
        };
        let at = job.ended_at.unwrap_or_else(|| self.parts.clock.now());
        let because = job.error.as_deref();
        let tenant = job.new.tenant;
        self.parts
            .db
            .give_up_delivery(tenant, id, job.new.id, state, because, at)
            .await
    }
}

impl DeliveryHandler {
    /// A handler for one node.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            health: EndpointHealth::default(),
        }
    }

    /// Reads what is to be sent, and asks whether it is sent now.
    async fn prepare(&self, job: &Job) -> Result<Ready, NotSent> {
        let Parts { db, clock, .. } = &self.parts;
        let tenant = job.new.tenant;
        let Ok(id) = job.new.payload.parse::<DeliveryId>() else {
            let error = "the payload of the job is no id of a delivery".to_owned();
            return Err(NotSent::Ends(Ending::Dead { error }));
        };
        // A missing row was deleted, and a delivery with another job was replayed.
        let delivery = db.delivery(tenant, id).await?;
        let delivery = delivery.filter(|delivery| delivery.job == job.new.id);
        let delivery = delivery.ok_or(NotSent::Ends(Ending::Cancelled))?;
        if delivery.state == DeliveryState::Delivered {
            return Err(NotSent::Ends(Ending::Done));
        }
        let endpoint = db.endpoint(tenant, delivery.endpoint).await?;
        let endpoint = endpoint.ok_or(NotSent::Ends(Ending::Cancelled))?;
        if !endpoint.enabled {
            let (job, state) = (job.new.id, DeliveryState::Cancelled);
            db.give_up_delivery(tenant, id, job, state, Some(DISABLED), clock.now())
                .await?;
            self.parts.counters.cancelled();
            return Err(NotSent::Ends(Ending::Cancelled));
        }
        let body = db.delivery_body(tenant, id).await?;
        let body = body.ok_or(NotSent::Ends(Ending::Cancelled))?;
        let secrets = self.secrets(tenant, &endpoint).await?;
        let rate = endpoint.rate_per_minute;
        match self.health.ask(endpoint.id, rate, id, clock.now(), random()) {
            Turn::Now => Ok(Ready {
                delivery,
                endpoint,
                body: body.into(),
                secrets,
            }),
            Turn::Later { at, why } => {
                self.parts.counters.postponed();
                let error = delivery.error.unwrap_or_else(|| why.to_owned());
                Err(NotSent::Ends(Ending::Retry { at, error }))
            }
        }
    }

    /// The secrets that sign now.
    async fn secrets(&self, tenant: TenantId, endpoint: &Endpoint) -> Result<Vec<SigningSecret>, NotSent> {
        let Parts { db, vault, clock, .. } = &self.parts;
        let name = secret_name(endpoint.id);
        let mut secrets = Vec::new();
        for stored in db.endpoint_secrets(tenant, endpoint.id, clock.now()).await? {
            let unreadable = |_| {
                NotSent::Fault("the host's key cannot open the secret of the endpoint; rotate it".to_owned())
            };
            let text = vault.open(tenant, &name, &stored.sealed).map_err(unreadable)?;
            let secret = SigningSecret::try_from(&text);
            secrets.push(secret.map_err(|error| NotSent::Fault(error.to_string()))?);
        }
        Ok(secrets)
    }

    /// Makes an attempt, and writes what came of it.
    async fn send(&self, tenant: TenantId, ready: &Ready) -> Result<Ending, DbError> {
        let Ready {
            delivery, endpoint, ..
        } = ready;
        let clock = &self.parts.clock;
        let (at, began) = (clock.now(), clock.monotonic());
        let answered = match request(ready, at) {
            Ok(request) => self.parts.http.send_for_host(tenant, request).await,
            Err(why) => Err(why),
        };
        let took = clock.monotonic().saturating_sub(began);
        let now = clock.now();
        // A job that somebody retries after its delivery ended begins the schedule anew.
        let attempts_before = match delivery.state {
            DeliveryState::Waiting => delivery.attempts_before,
            _ => delivery.attempts,
        };
        let number = delivery.attempts.saturating_add(1);
        let outcome = Outcome::of(&answered, number.saturating_sub(attempts_before), random());
        self.report(endpoint, &outcome, now);
        let next_at = outcome.wait.map(|wait| now.saturating_add(wait));
        let noted = NotedAttempt {
            attempt: DeliveryAttempt {
                number,
                at,
                took,
                status: answered.as_ref().ok().map(|response| response.status),
                error: outcome.error.clone(),
                answer: answered.as_ref().ok().map(shown),
            },
            state: outcome.state,
            attempts_before,
            ended_at: now,
            next_at,
        };
        let db = &self.parts.db;
        let failing_since = db.note_attempt(tenant, delivery.id, &noted).await?;
        let is_over = failing_since.is_some_and(|since| now.since(since) >= DISABLED_AFTER);
        if outcome.is_gone {
            self.disable(tenant, endpoint, "it answered 410 (Gone)", now)
                .await;
        } else if is_over {
            self.disable(tenant, endpoint, TOO_LONG, now).await;
        }
        let error = outcome.error.unwrap_or_default();
        Ok(match (outcome.state, next_at) {
            (DeliveryState::Delivered, _) => Ending::Done,
            (_, Some(at)) => Ending::Retry { at, error },
            (_, None) => Ending::Dead { error },
        })
    }

    /// Counts an attempt, and reports it to the breaker of its endpoint.
    fn report(&self, endpoint: &Endpoint, outcome: &Outcome, now: Timestamp) {
        let counters = &self.parts.counters;
        match outcome.state {
            DeliveryState::Delivered => counters.delivered(),
            DeliveryState::Waiting => counters.retried(),
            DeliveryState::Failed | DeliveryState::Cancelled => counters.failed(),
        }
        if outcome.state == DeliveryState::Delivered {
            self.health.succeeded(endpoint.id);
        } else if self.health.failed(endpoint.id, now) {
            tracing::info!(endpoint = %endpoint.id, "an endpoint for webhooks fails, so it is called less often");
        }
    }

    /// Disables an endpoint, with an entry of the audit log and an event. If that fails, the next
    /// failed attempt tries again.
    async fn disable(&self, tenant: TenantId, endpoint: &Endpoint, because: &str, now: Timestamp) {
        let event = disabled_event(endpoint, because, now);
        let told = match self
            .parts
            .queue
            .fan_out_without(tenant, &event, endpoint.id)
            .await
        {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%tenant, endpoint = %endpoint.id, %error, "an endpoint cannot be disabled");
                return;
            }
        };
        let difference = Difference {
            before: Some(json!({ "enabled": true })),
            after: Some(json!({ "enabled": false, "because": because })),
        };
        let subject = endpoint.id.to_string();
        let change = Change::new(Change::HOST, "webhook.endpoint.disable", subject, now).with(difference);
        let db = &self.parts.db;
        match db
            .disable_endpoint(tenant, endpoint.id, because, &told, &change)
            .await
        {
            Ok(Some(added)) => {
                self.parts.queue.note_added(tenant, &added);
                self.parts.counters.disabled();
                self.health.forget(endpoint.id);
                tracing::warn!(%tenant, endpoint = %endpoint.id, because, "an endpoint for webhooks was disabled");
            }
            // Another attempt disabled it.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%tenant, endpoint = %endpoint.id, %error, "an endpoint cannot be disabled");
            }
        }
    }

    fn again(&self, error: String) -> Ending {
        Ending::Retry {
            at: self.parts.clock.now().saturating_add(AFTER_FAULT),
            error,
        }
    }
}

impl From<DbError> for NotSent {
    fn from(error: DbError) -> Self {
        Self::Fault(format!("the host cannot read the delivery: {error}"))
    }
}

/// The request of an attempt that begins at `at`.
fn request(ready: &Ready, at: Timestamp) -> Result<HostRequest, String> {
    let id = ready.delivery.event.id.to_string();
    let signature = signatures(&ready.secrets, &id, at, &ready.body);
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| "the request has a header that is not valid".to_owned())
    };
    Ok(HostRequest {
        url: ready.endpoint.url.clone(),
        headers: vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ID, value(&id)?),
            (TIMESTAMP, HeaderValue::from(seconds(at))),
            (SIGNATURE, value(&signature)?),
        ],
        body: ready.body.clone(),
        timeout: TIMEOUT,
        most: ANSWER,
    })
}

/// The body of an answer as it is stored.
fn shown(response: &HostResponse) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// A random number from 0 to 1.
fn random() -> f64 {
    // Without randomness, deliveries that failed together are sent again together.
    let bits = getrandom::u32().unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}
