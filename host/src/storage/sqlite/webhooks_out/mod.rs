//! Outbound webhooks in SQLite.
//!
//! | file | statements for |
//! | --- | --- |
//! | `endpoints` | endpoints and their secrets |
//! | `add` | new deliveries, in the transaction that adds their jobs |
//! | `attempts` | what becomes of deliveries |
//! | `read` | the admin API |
//! | `replay`, `delete` | deliveries that are sent again or deleted |

mod add;
mod attempts;
mod delete;
mod endpoints;
mod read;
mod replay;

use async_trait::async_trait;

use super::{SqliteRepository, jobs};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{DeliveryId, EndpointId, JobId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::outbox::OutboxMark;
use crate::domain::webhook_out::{
    Delivery, DeliveryAttempt, DeliveryState, Endpoint, FanOut, NotedAttempt, OutgoingEvent,
};
use crate::storage::vault::Sealed;
use crate::storage::{
    Added, DbError, DeliveryFilter, DeliveryPosition, EndpointSecret, Page, Replayed, WebhooksOut,
};

pub(super) use add::insert;
pub(super) use endpoints::{ENABLED, reseal, topics_of};

#[async_trait]
impl WebhooksOut for SqliteRepository {
    async fn add_endpoint(
        &self,
        tenant: TenantId,
        endpoint: &Endpoint,
        secret: &Sealed,
        change: &Change,
    ) -> Result<(), DbError> {
        endpoints::add(self, tenant, endpoint, secret, change).await
    }

    async fn endpoints(&self, tenant: TenantId, page: Page<EndpointId>) -> Result<Vec<Endpoint>, DbError> {
        endpoints::list(self, tenant, page).await
    }

    async fn endpoint(&self, tenant: TenantId, id: EndpointId) -> Result<Option<Endpoint>, DbError> {
        endpoints::one(self, tenant, id).await
    }

    async fn change_endpoint(
        &self,
        tenant: TenantId,
        endpoint: &Endpoint,
        change: &Change,
    ) -> Result<bool, DbError> {
        endpoints::change(self, tenant, endpoint, change).await
    }

    async fn delete_endpoint(
        &self,
        tenant: TenantId,
        id: EndpointId,
        change: &Change,
    ) -> Result<bool, DbError> {
        endpoints::delete(self, tenant, id, change).await
    }

    async fn endpoint_secrets(
        &self,
        tenant: TenantId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<Vec<EndpointSecret>, DbError> {
        endpoints::secrets(self, tenant, id, now).await
    }

    async fn rotate_secret(
        &self,
        tenant: TenantId,
        id: EndpointId,
        secret: &Sealed,
        former_until: Timestamp,
        change: &Change,
    ) -> Result<bool, DbError> {
        endpoints::rotate(self, tenant, id, secret, former_until, change).await
    }

    async fn disable_endpoint(
        &self,
        tenant: TenantId,
        id: EndpointId,
        because: &str,
        told: &FanOut,
        change: &Change,
    ) -> Result<Option<Vec<Added>>, DbError> {
        endpoints::disable(self, tenant, id, because, told, change).await
    }

    async fn add_fan_out(&self, tenant: TenantId, fan_out: &FanOut) -> Result<Vec<Added>, DbError> {
        add::fan_out(self, tenant, fan_out).await
    }

    async fn add_test_event(
        &self,
        tenant: TenantId,
        fan_out: &FanOut,
        change: &Change,
    ) -> Result<Vec<Added>, DbError> {
        add::fan_out_with_change(self, tenant, fan_out, change).await
    }

    async fn relay_events(
        &self,
        tenant: TenantId,
        up_to: &OutboxMark,
        jobs: &[(i64, NewJob)],
        events: &[(i64, OutgoingEvent)],
    ) -> Result<Vec<Added>, DbError> {
        jobs::relay(self, tenant, up_to, jobs, events).await
    }

    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, DbError> {
        read::one(self, tenant, id).await
    }

    async fn delivery_body(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<String>, DbError> {
        read::body(self, tenant, id).await
    }

    async fn delivery_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
    ) -> Result<Vec<DeliveryAttempt>, DbError> {
        read::attempts(self, tenant, id).await
    }

    async fn deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        page: Page<DeliveryPosition>,
    ) -> Result<Vec<Delivery>, DbError> {
        read::list(self, tenant, filter, page).await
    }

    async fn note_attempt(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        noted: &NotedAttempt,
    ) -> Result<Option<Timestamp>, DbError> {
        attempts::note(self, tenant, id, noted).await
    }

    async fn give_up_delivery(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        job: JobId,
        state: DeliveryState,
        because: Option<&str>,
        at: Timestamp,
    ) -> Result<(), DbError> {
        attempts::give_up(self, tenant, id, job, state, because, at).await
    }

    async fn replay_delivery(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        change: &Change,
    ) -> Result<Option<Replayed>, DbError> {
        replay::one(self, tenant, id, change).await
    }

    async fn replay_deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        limit: u32,
        change: &Change,
    ) -> Result<Vec<Added>, DbError> {
        replay::many(self, tenant, filter, limit, change).await
    }

    async fn purge_deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError> {
        delete::purge(self, tenant, filter, limit, change).await
    }

    async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u32, DbError> {
        delete::prune(self, before, limit).await
    }

    async fn trim_deliveries(&self, tenant: TenantId, kept: u32, limit: u32) -> Result<u32, DbError> {
        delete::trim(self, tenant, kept, limit).await
    }

    async fn tenants_with_endpoints(&self) -> Result<Vec<TenantId>, DbError> {
        endpoints::tenants(self).await
    }
}
