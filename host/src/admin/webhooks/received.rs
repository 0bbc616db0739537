//! Endpoints for received webhooks: list, show, replay and delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::access::{Developer, Right, TenantAccess, Viewer};
use super::super::input::{At, NoParams, Params};
use super::super::logs::require_plugin;
use super::super::page::{Paging, limit};
use super::super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, ReceivedId, WebhookName};
use crate::domain::received::Received;
use crate::domain::resource::Resource;
use crate::domain::role::Role;
use crate::http::problem::Problem;
use crate::storage::{Added, ReceivedFilter, ReceivedPosition};
use crate::wire::page::Items;
use crate::wire::webhooks_received::{ReceivedDetail, ReceivedView, ReplayedView};

/// Which received webhooks are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReceivedQuery {
    /// Webhooks of this plugin.
    plugin: Option<PluginName>,
    /// Webhooks of this name.
    webhook: Option<WebhookName>,
    /// Webhooks that were received at this time or later.
    from: Option<Timestamp>,
    /// Webhooks that were received before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Lists received webhooks, the newest first, without headers and bodies. Viewers do not see the
/// ids of messages.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/received", tag = "webhooks-received",
    params(ReceivedQuery), responses((status = 200, body = Items<ReceivedView>)),
    security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<ReceivedQuery>,
) -> Result<Json<Items<ReceivedView>>, Problem> {
    let tenant = access.tenant.id;
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let filter = ReceivedFilter {
        plugin: query.plugin,
        webhook: query.webhook,
        from: query.from,
        to: query.to,
    };
    let page = paging.page()?;
    let found = state.db.received_webhooks(tenant, &filter, page.clone()).await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(&state, tenant, filter.plugin.as_ref()).await?;
    }
    let is_shown = shows_content(&access);
    let position = |received: &Received| ReceivedPosition(received.id);
    Ok(Json(Items::new(found, &page, position, |received| {
        ReceivedView::new(received, is_shown)
    })))
}

/// Shows a received webhook with its headers and its body. Viewers see neither.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/received/{received}", tag = "webhooks-received",
    responses((status = 200, body = ReceivedDetail)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<ReceivedId>,
) -> Result<Json<ReceivedDetail>, Problem> {
    let tenant = access.tenant.id;
    let missing = || Problem::not_found(Resource::ReceivedWebhook);
    let received = state.db.received_webhook(tenant, id).await?;
    let received = received.ok_or_else(missing)?;
    let is_shown = shows_content(&access);
    let content = match is_shown {
        true => Some(state.db.webhook_content(tenant, id).await?.ok_or_else(missing)?),
        false => None,
    };
    let (headers, body) = content.map(|content| (content.headers, content.body)).unzip();
    let pair = |(name, value): (String, String)| vec![name, value];
    Ok(Json(ReceivedDetail {
        received: ReceivedView::new(received, is_shown),
        headers: headers.map(|headers: Vec<(String, String)>| headers.into_iter().map(pair).collect()),
        body,
        content_hidden: !is_shown,
    }))
}

/// Adds another job for a received webhook, of the kind that the active version declares for it
/// now. If the last job of the webhook is still live, the answer names that job (200).
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/received/{received}/replay",
    tag = "webhooks-received",
    responses((status = 201, body = ReplayedView, description = "A new job"),
        (status = 200, body = ReplayedView, description = "The last job is still live")),
    security(("token" = ["developer"])))]
async fn replay(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<ReceivedId>,
) -> Result<(StatusCode, Json<ReplayedView>), Problem> {
    let tenant = access.tenant.id;
    let change = state.change(&access.actor, "webhook.replay", id.to_string());
    let added = state.jobs.queue.replay_webhook(tenant, id, &change).await?;
    Ok(match added {
        Added::New(job_id) => (StatusCode::CREATED, Json(ReplayedView { job_id, added: true })),
        Added::Exists(job_id) => (StatusCode::OK, Json(ReplayedView { job_id, added: false })),
    })
}

/// Deletes a received webhook with its headers and its body. A job of it that did not run yet
/// becomes a dead letter, and the message counts as new if it is sent again.
#[utoipa::path(delete, path = "/tenants/{tenant}/webhooks/received/{received}", tag = "webhooks-received",
    responses((status = 204, description = "Deleted")), security(("token" = ["developer"])))]
async fn delete(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<ReceivedId>,
) -> Result<StatusCode, Problem> {
    let change = state.change(&access.actor, "webhook.delete", id.to_string());
    match state.db.delete_received(access.tenant.id, id, &change).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(Resource::ReceivedWebhook)),
    }
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, delete))
        .routes(routes!(replay))
}

/// What senders wrote is for those who develop the plugin.
fn shows_content<R: Right>(access: &TenantAccess<R>) -> bool {
    access.role.may(Role::Developer)
}

impl ReceivedView {
    fn new(received: Received, is_shown: bool) -> Self {
        let Received {
            id,
            plugin,
            webhook,
            message,
            bytes,
            repeats,
            received_at,
            last_at,
            job,
        } = received;
        Self {
            id,
            plugin,
            webhook,
            message: is_shown.then_some(message),
            bytes,
            repeats,
            received_at,
            last_at,
            job_id: job,
        }
    }
}
