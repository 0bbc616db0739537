//! Outbound webhooks in the database: endpoints with their secrets, and deliveries.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::vault::Sealed;
use super::{Added, DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::event::Topic;
use crate::domain::id::{DeliveryId, EndpointId, JobId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::outbox::OutboxMark;
use crate::domain::webhook_out::{
    Delivery, DeliveryAttempt, DeliveryState, Endpoint, FanOut, NotedAttempt, OutgoingEvent,
};

/// A secret of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSecret {
    /// The encrypted secret. Its name in the vault is [`secret_name`].
    pub sealed: Sealed,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops to sign; `None` for the current one.
    pub expires_at: Option<Timestamp>,
}

/// A filter for deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only to this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only in one of these states; empty for all.
    pub states: Vec<DeliveryState>,
    /// Only of events with this topic.
    pub topic: Option<Topic>,
    /// Only added at this time or later.
    pub from: Option<Timestamp>,
    /// Only added before this time.
    pub to: Option<Timestamp>,
}

/// A place in a list of deliveries: newest first by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryPosition(pub DeliveryId);

/// The result of replaying a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// A new job sends it again.
    Added(Added),
    /// It waits for its next attempt, which this job makes.
    Waits(JobId),
}

/// The name under which the vault seals the secrets of an endpoint. No secret of a tenant has such
/// a name.
pub fn secret_name(endpoint: EndpointId) -> String {
    format!("webhooks/endpoints/{endpoint}")
}

/// Endpoints and deliveries.
#[async_trait]
pub trait WebhooksOut {
    /// Adds an endpoint with its first secret.
    async fn add_endpoint(
        &self,
        tenant: TenantId,
        endpoint: &Endpoint,
        secret: &Sealed,
        change: &Change,
    ) -> Result<(), DbError>;

    /// A page of a tenant's endpoints, the oldest first.
    async fn endpoints(&self, tenant: TenantId, page: Page<EndpointId>) -> Result<Vec<Endpoint>, DbError>;

    /// An endpoint.
    async fn endpoint(&self, tenant: TenantId, id: EndpointId) -> Result<Option<Endpoint>, DbError>;

    /// Changes URL, description, topics, rate and whether the endpoint is enabled. Enabling it
    /// forgets its failures. `false` if it is missing.
    async fn change_endpoint(
        &self,
        tenant: TenantId,
        endpoint: &Endpoint,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Deletes an endpoint with its secrets and deliveries. `false` if it is missing.
    async fn delete_endpoint(
        &self,
        tenant: TenantId,
        id: EndpointId,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// The secrets of an endpoint that sign at `now`, the newest first.
    async fn endpoint_secrets(
        &self,
        tenant: TenantId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<Vec<EndpointSecret>, DbError>;

    /// Adds a secret. The former current one signs until `former_until`. Expired ones are deleted.
    /// `false` if the endpoint is missing.
    async fn rotate_secret(
        &self,
        tenant: TenantId,
        id: EndpointId,
        secret: &Sealed,
        former_until: Timestamp,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Disables an endpoint and adds the event that tells of it. `None`, and nothing is written, if
    /// the endpoint is disabled or missing.
    async fn disable_endpoint(
        &self,
        tenant: TenantId,
        id: EndpointId,
        because: &str,
        told: &FanOut,
        change: &Change,
    ) -> Result<Option<Vec<Added>>, DbError>;

    /// Adds what an event became, in one transaction.
    async fn add_fan_out(&self, tenant: TenantId, fan_out: &FanOut) -> Result<Vec<Added>, DbError>;

    /// The same for an event that somebody asked for.
    async fn add_test_event(
        &self,
        tenant: TenantId,
        fan_out: &FanOut,
        change: &Change,
    ) -> Result<Vec<Added>, DbError>;

    /// Relays as [`Jobs::relay_jobs`](super::Jobs::relay_jobs) does, and adds events for endpoints
    /// in the same transaction. `events` names the sequence of each event's entry.
    async fn relay_events(
        &self,
        tenant: TenantId,
        up_to: &OutboxMark,
        jobs: &[(i64, NewJob)],
        events: &[(i64, OutgoingEvent)],
    ) -> Result<Vec<Added>, DbError>;

    /// A delivery.
    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, DbError>;

    /// The body of a delivery.
    async fn delivery_body(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<String>, DbError>;

    /// The attempts of a delivery, the oldest first.
    async fn delivery_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, DbError>;

    /// A page of a tenant's deliveries, newest first.
    async fn deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        page: Page<DeliveryPosition>,
    ) -> Result<Vec<Delivery>, DbError>;

    /// Writes an attempt and what becomes of its delivery and its endpoint. Returns since when the
    /// endpoint fails; `None` also if the delivery is missing.
    async fn note_attempt(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        noted: &NotedAttempt,
    ) -> Result<Option<Timestamp>, DbError>;

    /// Gives up a delivery that waits and that this job sends.
    async fn give_up_delivery(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        job: JobId,
        state: DeliveryState,
        because: Option<&str>,
        at: Timestamp,
    ) -> Result<(), DbError>;

    /// Lets a delivery that ended be sent again by a new job. `None` if it is missing.
    async fn replay_delivery(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        change: &Change,
    ) -> Result<Option<Replayed>, DbError>;

    /// Lets up to `limit` deliveries that ended and match be sent again, the oldest first.
    async fn replay_deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        limit: u32,
        change: &Change,
    ) -> Result<Vec<Added>, DbError>;

    /// Deletes up to `limit` deliveries that ended and match, with their bodies and attempts.
    /// Returns how many.
    async fn purge_deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError>;

    /// Deletes up to `limit` deliveries that ended before a time. Returns how many.
    async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u32, DbError>;

    /// Deletes up to `limit` of a tenant's oldest ended deliveries above `kept`. Returns how many.
    async fn trim_deliveries(&self, tenant: TenantId, kept: u32, limit: u32) -> Result<u32, DbError>;

    /// The tenants that have endpoints.
    async fn tenants_with_endpoints(&self) -> Result<Vec<TenantId>, DbError>;
}
