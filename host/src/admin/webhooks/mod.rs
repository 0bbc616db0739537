//! Endpoints for webhooks: the inbound ones of the active versions, and what was received.

mod received;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::input::NoParams;
use super::state::AdminState;
use crate::http::problem::Problem;
use crate::tenants::{PluginRoutes, WebhookEntry};
use crate::wire::webhooks_received::{
    RefusalView, WebhookCountsView, WebhookSecretView, WebhookView, WebhooksView,
};

/// Lists the inbound webhooks of the active versions by plugin and name, with the URL for the
/// sender, which secrets are set, and why the last request was refused.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks", tag = "webhooks",
    responses((status = 200, body = WebhooksView)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<WebhooksView>, Problem> {
    let counts = state.db.webhook_counts(access.tenant.id).await?;
    let mut items = Vec::new();
    for plugin in state.lifecycle.served_plugins(access.tenant.id) {
        let webhooks = plugin.webhooks().iter();
        items.extend(webhooks.map(|webhook| view(&state, &plugin, webhook)));
    }
    items.sort_by(|a, b| (&a.plugin, &a.name).cmp(&(&b.plugin, &b.name)));
    Ok(Json(WebhooksView {
        items,
        received: counts.received,
        bytes: counts.bytes,
    }))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .merge(received::router())
}

fn view(state: &AdminState, plugin: &PluginRoutes, webhook: &WebhookEntry) -> WebhookView {
    let active = &plugin.active;
    let spec = &webhook.spec;
    let (stored, repeated, refused) = webhook.tally.counts();
    let secret = |name: &String| WebhookSecretView {
        name: name.clone(),
        usable: active.secrets.contains_key(name) && active.grants.secrets.may_use(name),
    };
    WebhookView {
        plugin: active.plugin.clone(),
        name: spec.name.clone(),
        url: state
            .public_url
            .of_webhook(&active.tenant_name, &active.plugin, &spec.name),
        scheme: spec.scheme,
        job: spec.job.clone(),
        secrets: spec.secrets.iter().map(secret).collect(),
        counts: WebhookCountsView {
            stored,
            repeated,
            refused,
        },
        last_refusal: webhook.tally.last_refusal().map(|refusal| RefusalView {
            at: refusal.at,
            reason: refusal.reason,
        }),
    }
}
