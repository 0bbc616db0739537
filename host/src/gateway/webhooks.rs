//! Receives webhooks at `/{tenant}/-/webhooks/{plugin}/{name}`. A request is answered once it is
//! stored; its job runs later.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Response};
use bytes::Bytes;

use super::locate::{method_not_allowed, unavailable};
use super::{Gateway, plugin_request, refusals};
use crate::capability::jobs::QueueError;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::server::body;
use crate::tenants::{BodyCharge, Caller, PluginRoutes, TenantRoutes, WebhookEntry};
use crate::webhooks_in::NotReceived;

/// `Retry-After` if a webhook cannot be stored now.
const RETRY: Duration = Duration::from_secs(60);

/// Receives a webhook. `below` is the part of the path with the plugin and the webhook.
pub async fn receive(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    request_body: Body,
    tenant: &str,
    below: &str,
) -> Result<Response<Body>, Problem> {
    let (tenant, plugin, webhook) = locate(gateway, tenant, below)?;
    if parts.method != Method::POST {
        return Err(method_not_allowed(&[Method::POST.to_string()]));
    }
    // A suspended tenant and a disabled plugin still receive webhooks. Their jobs are held.
    let rate = tenant
        .admission
        .check_rate(Caller::Anonymous, gateway.clock.now());
    rate.map_err(|rate| refusals::rate_limited("tenant", rate))?;
    let (bytes, _held) = {
        let read = pin!(read_body(gateway, &tenant, &parts.headers, request_body));
        read.await?
    };
    let headers = plugin_request::headers(&parts.headers);
    let received = gateway
        .webhooks
        .receive(&tenant, &plugin, &webhook, &parts.headers, headers, bytes)
        .await;
    received.map_err(not_received)?;
    let mut response = Response::new(Body::from("{}"));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

type Located = (Arc<TenantRoutes>, Arc<PluginRoutes>, Arc<WebhookEntry>);

/// Finds a webhook of an active version. A missing tenant, plugin or webhook gives the same 404
/// response.
fn locate(gateway: &Gateway, tenant: &str, below: &str) -> Result<Located, Problem> {
    let nothing = || Problem::new(Code::NotFound, "there is no such tenant, plugin or webhook");
    let (plugin, name) = below.split_once('/').ok_or_else(nothing)?;
    let tenant = gateway.routing.tenant(tenant).ok_or_else(nothing)?;
    if tenant.problem.is_some() {
        return Err(unavailable());
    }
    let Some(served) = tenant.plugins.get(plugin).cloned() else {
        // Senders try again, so nothing is lost until the version can be served.
        return Err(match tenant.unavailable.contains_key(plugin) {
            true => unavailable(),
            false => nothing(),
        });
    };
    let webhook = served.webhook(name).cloned().ok_or_else(nothing)?;
    Ok((tenant, served, webhook))
}

/// Reads the body of a webhook. The returned charge counts its bytes against the tenant.
async fn read_body(
    gateway: &Gateway,
    tenant: &TenantRoutes,
    headers: &HeaderMap,
    request_body: Body,
) -> Result<(Bytes, BodyCharge), Problem> {
    let limit = tenant.limits.webhook_body;
    let mut held = tenant.bodies.open(Caller::Anonymous);
    let hold = |bytes| held.add(bytes).map_err(refusals::no_room_for_body);
    let bytes = body::read(headers, request_body, limit, gateway.pace, hold).await;
    let bytes = bytes.map_err(|problem| match problem.code() {
        Code::BodyTooLarge => Problem::new(
            Code::BodyTooLarge,
            format!("the body has more than {limit} (limit `webhook_body` of the tenant)"),
        ),
        _ => problem,
    })?;
    Ok((bytes, held))
}

/// The problem for the sender. What is wrong with a signature is for the plugin's developers only.
fn not_received(error: NotReceived) -> Problem {
    match error {
        NotReceived::Invalid(_) => Problem::new(
            Code::InvalidWebhook,
            "the signature of the webhook is missing, wrong or too old; the tenant's admin API says which",
        ),
        NotReceived::NotText => Problem::new(
            Code::UnsupportedMediaType,
            "the body of a webhook is UTF-8 text; this one is not",
        ),
        NotReceived::NoSecret => Problem::new(
            Code::Unavailable,
            "the tenant has not set a secret for this webhook yet; send it again later",
        )
        .retry_after(RETRY),
        NotReceived::Full | NotReceived::Queue(QueueError::Full { .. }) => Problem::new(
            Code::Overloaded,
            "the tenant has too many webhooks that wait for their jobs; send this one again later",
        )
        .retry_after(RETRY),
        NotReceived::Queue(QueueError::Unavailable) => Problem::new(
            Code::Unavailable,
            "the webhook cannot be stored now; send it again",
        )
        .retry_after(RETRY),
        error @ NotReceived::Vault(_) => Problem::unavailable(error),
    }
}
