//! Deliveries that somebody asks for: tests of an endpoint, and deliveries that are sent again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, Input, NoParams, Params};
use super::super::state::AdminState;
use super::deliveries::detail;
use super::selection::{ReplaySelection, subject, until};
use super::{known, not_added};
use crate::capability::jobs::JobQueue as _;
use crate::domain::event::{Topic, TopicPattern};
use crate::domain::id::{DeliveryId, EndpointId};
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::units::as_u64;
use crate::domain::webhook_out::{Endpoint, EndpointTopics, deliveries, host_event};
use crate::http::problem::Problem;
use crate::storage::Replayed;
use crate::wire::webhooks_out::{DeliveryDetail, ReplayedDeliveriesView, TestEvent};

/// Deliveries that one transaction changes. Other writers run between two of them.
const BLOCK: u32 = 500;

/// Sends an event to an endpoint for a test, whatever its topics are. The delivery is retried and
/// kept like any other.
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}/test", tag = "webhooks",
    request_body = TestEvent,
    responses((status = 201, body = DeliveryDetail)), security(("token" = ["developer"])))]
pub async fn test_endpoint(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
    Input(input): Input<TestEvent>,
) -> Result<(StatusCode, Json<DeliveryDetail>), Problem> {
    let tenant = access.tenant.id;
    enabled(&known(&state, &access, id).await?)?;
    let limits = state.lifecycle.limits(&access.tenant).await?;
    state.jobs.queue.has_room(tenant, 1, &limits).map_err(not_added)?;
    let topic = input.topic.map_or_else(test_topic, Ok)?;
    let data = input.data.unwrap_or_else(|| json!({}));
    let now = state.clock.now();
    let event = host_event(topic, &data, now);
    let every: TopicPattern = ">".parse().map_err(Problem::internal)?;
    let target = EndpointTopics {
        id,
        topics: vec![every],
    };
    let fan_out = deliveries(tenant, &event, &[target], now);
    let change = state.change(&access.actor, "webhook.endpoint.test", id.to_string());
    let added = state.db.add_test_event(tenant, &fan_out, &change).await?;
    state.jobs.queue.note_added(tenant, &added);
    let delivery = fan_out.outgoing.iter().flat_map(|event| &event.deliveries).next();
    let Some(delivery) = delivery else {
        return Err(Problem::not_found(Resource::Endpoint));
    };
    // The endpoint may have been deleted meanwhile.
    let shown = detail(&*state.db, tenant, delivery.id).await?;
    let shown = shown.ok_or_else(|| Problem::not_found(Resource::Endpoint))?;
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Sends deliveries of an endpoint again that were added since a time: those that failed or were
/// cancelled or, with `failed=false`, all that do not wait. Each keeps its `webhook-id`, so a
/// receiver that knows it ignores it.
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}/replay", tag = "webhooks",
    params(ReplaySelection),
    responses((status = 200, body = ReplayedDeliveriesView)), security(("token" = ["developer"])))]
pub async fn replay_endpoint(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
    Params(selection): Params<ReplaySelection>,
) -> Result<Json<ReplayedDeliveriesView>, Problem> {
    let tenant = access.tenant.id;
    enabled(&known(&state, &access, id).await?)?;
    let filter = selection.read(id)?;
    let limits = state.lifecycle.limits(&access.tenant).await?;
    let live = state.db.job_counts_of(tenant).await?.live;
    let room = u64::from(limits.job_backlog).saturating_sub(live);
    // A delivery that fails again at once matches again, so the number of deliveries bounds the
    // loop.
    let most = room.min(u64::from(limits.deliveries_kept));
    let change = state.change(&access.actor, "webhook.delivery.replay", subject(&filter));
    let filter = until(filter, change.at);
    let mut replayed = 0;
    let mut are_left = true;
    while are_left && replayed < most {
        let wanted = u32::try_from(most - replayed).map_or(BLOCK, |left| left.min(BLOCK));
        let added = state
            .db
            .replay_deliveries(tenant, &filter, wanted, &change)
            .await?;
        state.jobs.queue.note_added(tenant, &added);
        let count = as_u64(added.len());
        are_left = count >= u64::from(wanted);
        replayed += count;
    }
    Ok(Json(ReplayedDeliveriesView {
        replayed,
        backlog_full: are_left && replayed >= room,
    }))
}

/// Sends a delivery again that was delivered or given up, or makes the next attempt of one that
/// waits now. It keeps its `webhook-id` and gets all attempts again.
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/deliveries/{delivery}/replay", tag = "webhooks",
    responses((status = 200, body = DeliveryDetail)), security(("token" = ["developer"])))]
pub async fn replay_delivery(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<DeliveryId>,
) -> Result<Json<DeliveryDetail>, Problem> {
    let tenant = access.tenant.id;
    let missing = || Problem::not_found(Resource::Delivery);
    let delivery = state.db.delivery(tenant, id).await?.ok_or_else(missing)?;
    enabled(&known(&state, &access, delivery.endpoint).await?)?;
    let limits = state.lifecycle.limits(&access.tenant).await?;
    state.jobs.queue.has_room(tenant, 1, &limits).map_err(not_added)?;
    let change = state.change(&access.actor, "webhook.delivery.replay", id.to_string());
    match state.db.replay_delivery(tenant, id, &change).await? {
        None => return Err(missing()),
        Some(Replayed::Added(added)) => state.jobs.queue.note_added(tenant, &[added]),
        Some(Replayed::Waits(job)) => {
            state.db.retry_job(tenant, job, change.at, &change).await?;
            state.jobs.wake.jobs_added();
        }
    }
    let shown = detail(&*state.db, tenant, id).await?;
    shown.map(Json).ok_or_else(missing)
}

/// Refuses what would not be sent.
fn enabled(endpoint: &Endpoint) -> Result<(), Problem> {
    match endpoint.enabled {
        true => Ok(()),
        false => Err(Problem::new(
            Code::Conflict,
            "the endpoint is disabled; enable it first (PATCH …/webhooks/endpoints/{endpoint})",
        )),
    }
}

/// The topic of an event that names none.
fn test_topic() -> Result<Topic, Problem> {
    "webhook.test".parse().map_err(Problem::internal)
}
