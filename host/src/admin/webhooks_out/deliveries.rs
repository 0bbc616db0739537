//! Deliveries: lists, one with its body and attempts, and their deletion.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, NoParams, Params};
use super::super::state::AdminState;
use super::selection::{DeliveryQuery, DeliverySelection, subject, until};
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::resource::Resource;
use crate::domain::webhook_out::{Delivery, DeliveryAttempt};
use crate::http::problem::Problem;
use crate::storage::{DbError, DeliveryPosition, Repository};
use crate::wire::page::Items;
use crate::wire::webhooks_out::{DeletedDeliveries, DeliveryAttemptView, DeliveryDetail, DeliveryView};

/// Deliveries that one transaction deletes. Other writers run between two of them.
const BLOCK: u32 = 500;

/// Lists deliveries of webhooks, the newest first. Lists have no bodies.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/deliveries", tag = "webhooks", params(DeliveryQuery),
    responses((status = 200, body = Items<DeliveryView>)), security(("token" = ["developer"])))]
pub async fn list_deliveries(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<Items<DeliveryView>>, Problem> {
    let (filter, paging) = query.read()?;
    let page = paging.page()?;
    let found = state
        .db
        .deliveries(access.tenant.id, &filter, page.clone())
        .await?;
    let position = |delivery: &Delivery| DeliveryPosition(delivery.id);
    Ok(Json(Items::new(found, &page, position, DeliveryView::from)))
}

/// Shows a delivery of a webhook with its body, and its attempts with the answers of the endpoint.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/deliveries/{delivery}", tag = "webhooks",
    responses((status = 200, body = DeliveryDetail)), security(("token" = ["developer"])))]
pub async fn get_delivery(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<DeliveryId>,
) -> Result<Json<DeliveryDetail>, Problem> {
    let found = detail(&*state.db, access.tenant.id, id).await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found(Resource::Delivery))
}

/// Deletes the deliveries that match and do not wait, with their bodies, attempts and answers;
/// without a filter, all of the tenant that do not wait.
#[utoipa::path(delete, path = "/tenants/{tenant}/webhooks/deliveries", tag = "webhooks", params(DeliverySelection),
    responses((status = 200, body = DeletedDeliveries)), security(("token" = ["developer"])))]
pub async fn delete_deliveries(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<DeliverySelection>,
) -> Result<Json<DeletedDeliveries>, Problem> {
    let filter = selection.read()?;
    let change = state.change(&access.actor, "webhook.delivery.delete", subject(&filter));
    let filter = until(filter, change.at);
    let mut deleted = 0;
    loop {
        let block = state
            .db
            .purge_deliveries(access.tenant.id, &filter, BLOCK, &change)
            .await?;
        deleted += u64::from(block);
        if block < BLOCK {
            return Ok(Json(DeletedDeliveries { deleted }));
        }
    }
}

/// A delivery with its body and its attempts.
pub async fn detail(
    db: &dyn Repository,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<DeliveryDetail>, DbError> {
    let Some(delivery) = db.delivery(tenant, id).await? else {
        return Ok(None);
    };
    let Some(body) = db.delivery_body(tenant, id).await? else {
        return Ok(None);
    };
    let attempts = db.delivery_attempts(tenant, id).await?;
    Ok(Some(DeliveryDetail {
        delivery: delivery.into(),
        body,
        attempts: attempts.into_iter().map(DeliveryAttemptView::from).collect(),
    }))
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint: delivery.endpoint,
            event: delivery.event.id,
            r#type: delivery.event.topic,
            source: delivery.event.source.to_string(),
            job: delivery.job,
            state: delivery.state,
            attempts: delivery.attempts,
            status: delivery.status,
            error: delivery.error,
            created_at: delivery.created_at,
            next_at: delivery.next_at,
            ended_at: delivery.ended_at,
        }
    }
}

impl From<DeliveryAttempt> for DeliveryAttemptView {
    fn from(attempt: DeliveryAttempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status: attempt.status,
            error: attempt.error,
            answer: attempt.answer,
        }
    }
}
