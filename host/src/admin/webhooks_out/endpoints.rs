//! Endpoints for webhooks: list, create, change and delete.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use super::super::access::{Developer, Owner, TenantAccess};
use super::super::bounds::{self, Kind};
use super::super::error::invalid;
use super::super::input::{At, Input, NoParams, Params};
use super::super::page::Paging;
use super::super::state::AdminState;
use super::known;
use super::secrets::signing_secret;
use crate::domain::audit::Difference;
use crate::domain::id::{EndpointId, TenantId};
use crate::domain::origin::Origin;
use crate::domain::resource::Resource;
use crate::domain::webhook_out::{Endpoint, MOST_TOPICS};
use crate::http::problem::Problem;
use crate::storage::{EndpointSecret, secret_name};
use crate::wire::page::Items;
use crate::wire::webhooks_out::{
    CreatedEndpoint, EndpointChange, EndpointSecretView, EndpointView, NewEndpoint,
};

/// The longest URL of an endpoint, in bytes.
const URL_BYTES: usize = 2 * 1_024;

/// The most characters of a description.
const DESCRIPTION: usize = 200;

/// The highest rate.
const HIGHEST_RATE: u32 = 60_000;

/// Lists the endpoints for webhooks, the oldest first.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/endpoints", tag = "webhooks", params(Paging),
    responses((status = 200, body = Items<EndpointView>)), security(("token" = ["developer"])))]
pub async fn list_endpoints(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<EndpointView>>, Problem> {
    let tenant = access.tenant.id;
    let page = paging.page()?;
    let found = state.db.endpoints(tenant, page.clone()).await?;
    let mut views = Vec::with_capacity(found.len());
    for endpoint in found {
        views.push(view(&state, tenant, endpoint).await?);
    }
    Ok(Json(Items::new(views, &page, |view| view.id, |view| view)))
}

/// Shows an endpoint for webhooks.
#[utoipa::path(get, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}", tag = "webhooks",
    responses((status = 200, body = EndpointView)), security(("token" = ["developer"])))]
pub async fn get_endpoint(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
) -> Result<Json<EndpointView>, Problem> {
    let endpoint = known(&state, &access, id).await?;
    Ok(Json(view(&state, access.tenant.id, endpoint).await?))
}

/// Creates an endpoint for webhooks. Events of its topics that are published from now on are
/// delivered to it. Only this response contains the secret.
#[utoipa::path(post, path = "/tenants/{tenant}/webhooks/endpoints", tag = "webhooks", request_body = NewEndpoint,
    responses((status = 201, body = CreatedEndpoint)), security(("token" = ["owner"])))]
pub async fn create_endpoint(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewEndpoint>,
) -> Result<(StatusCode, Json<CreatedEndpoint>), Problem> {
    let secret = signing_secret(input.secret.as_deref())?;
    let now = state.clock.now();
    let endpoint = Endpoint {
        id: EndpointId::generate(),
        url: input.url,
        description: input.description,
        topics: input.topics,
        enabled: input.enabled,
        rate_per_minute: input.rate_per_minute.and_then(NonZeroU32::new),
        created_at: now,
        failing_since: None,
        disabled_at: (!input.enabled).then_some(now),
        disabled_because: (!input.enabled).then(|| "it was created so".to_owned()),
    };
    check(&state, &endpoint)?;
    let tenant = access.tenant.id;
    let counting = bounds::room_for(&state, &access.tenant, Kind::WebhookEndpoints, 1).await?;
    let text = secret.reveal();
    let sealed = state.vault.seal(tenant, &secret_name(endpoint.id), &text)?;
    let change = state.change(&access.actor, "webhook.endpoint.create", endpoint.id.to_string());
    let change = change.with(Difference::made(&audited(&endpoint)));
    state.db.add_endpoint(tenant, &endpoint, &sealed, &change).await?;
    drop(counting);
    state.lifecycle.refresh(tenant).await;
    let created = CreatedEndpoint {
        endpoint: view(&state, tenant, endpoint).await?,
        secret: text.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Changes an endpoint for webhooks, or disables or enables it. Deliveries that wait go to the new
/// URL; those of a disabled endpoint are given up, and can be replayed.
#[utoipa::path(patch, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}", tag = "webhooks",
    request_body = EndpointChange,
    responses((status = 200, body = EndpointView)), security(("token" = ["owner"])))]
pub async fn change_endpoint(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
    Input(input): Input<EndpointChange>,
) -> Result<Json<EndpointView>, Problem> {
    let tenant = access.tenant.id;
    let former = known(&state, &access, id).await?;
    let mut endpoint = former.clone();
    let EndpointChange {
        url,
        topics,
        description,
        enabled,
        rate_per_minute,
    } = input;
    endpoint.url = url.unwrap_or(endpoint.url);
    endpoint.topics = topics.unwrap_or(endpoint.topics);
    endpoint.description = description.unwrap_or(endpoint.description);
    endpoint.enabled = enabled.unwrap_or(endpoint.enabled);
    if let Some(rate) = rate_per_minute {
        endpoint.rate_per_minute = NonZeroU32::new(rate);
    }
    check(&state, &endpoint)?;
    if endpoint != former {
        let change = state.change(&access.actor, "webhook.endpoint.change", id.to_string());
        let change = change.with(Difference::between(&audited(&former), &audited(&endpoint)));
        if !state.db.change_endpoint(tenant, &endpoint, &change).await? {
            return Err(Problem::not_found(Resource::Endpoint));
        }
        state.lifecycle.refresh(tenant).await;
    }
    let endpoint = known(&state, &access, id).await?;
    Ok(Json(view(&state, tenant, endpoint).await?))
}

/// Deletes an endpoint for webhooks, with its secrets and all of its deliveries.
#[utoipa::path(delete, path = "/tenants/{tenant}/webhooks/endpoints/{endpoint}", tag = "webhooks",
    responses((status = 204, description = "Deleted")), security(("token" = ["owner"])))]
pub async fn delete_endpoint(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<EndpointId>,
) -> Result<StatusCode, Problem> {
    let tenant = access.tenant.id;
    let former = known(&state, &access, id).await?;
    let change = state.change(&access.actor, "webhook.endpoint.delete", id.to_string());
    let change = change.with(Difference::removed(&audited(&former)));
    if !state.db.delete_endpoint(tenant, id, &change).await? {
        return Err(Problem::not_found(Resource::Endpoint));
    }
    state.lifecycle.refresh(tenant).await;
    Ok(StatusCode::NO_CONTENT)
}

fn check(state: &AdminState, endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.url.len() > URL_BYTES {
        return Err(invalid(format!("url: at most {URL_BYTES} bytes are allowed")));
    }
    let http = &state.observer.services.http;
    http.check_host_url(&endpoint.url)
        .map_err(|why| invalid(format!("url: {why}")))?;
    if !(1..=MOST_TOPICS).contains(&endpoint.topics.len()) {
        return Err(invalid(format!("topics: 1 to {MOST_TOPICS} are needed")));
    }
    let description = &endpoint.description;
    if description.chars().count() > DESCRIPTION || description.chars().any(char::is_control) {
        return Err(invalid(format!(
            "description: at most {DESCRIPTION} characters are allowed, and no control characters"
        )));
    }
    if endpoint
        .rate_per_minute
        .is_some_and(|rate| rate.get() > HIGHEST_RATE)
    {
        return Err(invalid(format!(
            "rate_per_minute: 1 to {HIGHEST_RATE}, or 0 for any number"
        )));
    }
    Ok(())
}

/// What the audit log has of an endpoint. Viewers read it, and the path of a URL may be secret.
fn audited(endpoint: &Endpoint) -> Value {
    let origin = Url::parse(&endpoint.url)
        .ok()
        .and_then(|url| Origin::of(&url).ok())
        .map(|origin| origin.to_string());
    json!({
        "origin": origin,
        "topics": endpoint.topics,
        "enabled": endpoint.enabled,
        "rate_per_minute": endpoint.rate_per_minute,
    })
}

async fn view(state: &AdminState, tenant: TenantId, endpoint: Endpoint) -> Result<EndpointView, Problem> {
    let now = state.clock.now();
    let secrets = state.db.endpoint_secrets(tenant, endpoint.id, now).await?;
    let shown = |secret: EndpointSecret| EndpointSecretView {
        created_at: secret.created_at,
        expires_at: secret.expires_at,
    };
    Ok(EndpointView {
        id: endpoint.id,
        url: endpoint.url,
        topics: endpoint.topics,
        description: endpoint.description,
        enabled: endpoint.enabled,
        rate_per_minute: endpoint.rate_per_minute.map(NonZeroU32::get),
        created_at: endpoint.created_at,
        failing_since: endpoint.failing_since,
        disabled_at: endpoint.disabled_at,
        disabled_because: endpoint.disabled_because,
        secrets: secrets.into_iter().map(shown).collect(),
    })
}
