//! Endpoints for versions, which are uploaded components.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, TenantAccess, Viewer};
use super::input::{At, NoParams, Params};
use super::page::Paging;
use super::state::AdminState;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::plugin::Version;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::units::Span;
use crate::domain::version_name::VersionName;
use crate::http::problem::Problem;
use crate::server::body::{self, Pace};
use crate::storage::VersionPosition;
use crate::tenants::budget::Exhausted;
use crate::wire::page::Items;
use crate::wire::versions::{UploadedVersion, VersionDetail, VersionView};

/// Time for an upload to arrive.
const UPLOAD_TIMEOUT: Span = Span::s(120);

/// Bytes counted per upload in addition to its size, which limits the number of small uploads.
const UPLOAD_OVERHEAD: u64 = 256 << 10;

/// `Retry-After` if the memory for uploads is used up.
const UPLOAD_RETRY: Duration = Duration::from_secs(5);

/// Lists versions, the newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/versions", tag = "versions", params(Paging),
    responses((status = 200, body = Items<VersionView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<VersionView>>, Problem> {
    let active = active(&state, &access, &plugin).await?;
    let page = paging.page()?;
    let found = state.db.versions(access.tenant.id, &plugin, page.clone()).await?;
    let mut refusals = HashMap::new();
    for version in &found {
        if let Some(refusal) = state.lifecycle.refusal(version.digest).await? {
            refusals.insert(version.digest, refusal.message.clone());
        }
    }
    let position = |version: &Version| VersionPosition {
        created_at: version.created_at,
        digest: version.digest,
    };
    Ok(Json(Items::new(found, &page, position, |version| {
        VersionView::new(&version, active, refusals.remove(&version.digest))
    })))
}

/// Uploads a component. The first upload creates the plugin. Uploading the same bytes again returns
/// the same version.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/versions", tag = "versions",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, body = UploadedVersion, description = "A new version"),
        (status = 200, body = UploadedVersion, description = "The same bytes were uploaded before")),
    security(("token" = ["developer"])))]
async fn upload(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<UploadedVersion>), Problem> {
    check_content_type(&headers)?;
    let limit = state.lifecycle.limits(&access.tenant).await?.component_size;
    // The received bytes are counted until the version is stored. A slow upload blocks no other
    // upload.
    let mut held = state.shares.of(access.holder).uploads.open();
    held.add(UPLOAD_OVERHEAD).map_err(too_many)?;
    let pace = Pace {
        timeout: UPLOAD_TIMEOUT,
        ..state.pace
    };
    let hold = |bytes| held.add(bytes).map_err(too_many);
    let component = body::read(&headers, body, limit, pace, hold).await?;
    let uploaded = state
        .lifecycle
        .upload(&access.tenant, &plugin, component, &access.actor.id())
        .await?;
    drop(held);
    let status = match uploaded.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let active = state
        .db
        .plugin(access.tenant.id, &plugin)
        .await?
        .and_then(|plugin| plugin.active);
    let detail = VersionDetail::read(&state, uploaded.version, active).await?;
    let warnings = uploaded.warnings;
    Ok((status, Json(UploadedVersion { detail, warnings })))
}

/// Shows a version with its manifest. The version is named by its digest, the first digits of the
/// digest, or the author's version.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/versions/{version}", tag = "versions",
    responses((status = 200, body = VersionDetail)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(name): At<VersionName>,
) -> Result<Json<VersionDetail>, Problem> {
    let active = active(&state, &access, &plugin).await?;
    let version = state
        .lifecycle
        .named_version(&access.tenant, &plugin, &name)
        .await?;
    Ok(Json(VersionDetail::read(&state, version, active).await?))
}

/// Deletes a version, unless it is the active one.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}/versions/{version}", tag = "versions",
    responses((status = 204, description = "Deleted")), security(("token" = ["developer"])))]
async fn delete(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(name): At<VersionName>,
) -> Result<StatusCode, Problem> {
    let version = state
        .lifecycle
        .named_version(&access.tenant, &plugin, &name)
        .await?;
    let subject = format!("{plugin} {}", version.digest);
    let change = state.change(&access.actor, "version.delete", subject);
    state
        .lifecycle
        .delete_version(&access.tenant, &plugin, version.digest, &change)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .routes(routes!(get, delete))
}

impl VersionView {
    fn new(version: &Version, active: Option<VersionDigest>, unavailable: Option<String>) -> Self {
        Self {
            version: version.digest,
            author_version: version.manifest.plugin.version.clone(),
            description: version.manifest.plugin.description.clone(),
            size: version.size,
            created_at: version.created_at,
            active: active == Some(version.digest),
            unavailable,
        }
    }
}

impl VersionDetail {
    async fn read(
        state: &AdminState,
        version: Version,
        active: Option<VersionDigest>,
    ) -> Result<Self, Problem> {
        let refusal = state.lifecycle.refusal(version.digest).await?;
        let unavailable = refusal.map(|refusal| refusal.message.clone());
        Ok(Self {
            compiled_size: state.lifecycle.compiled_size(version.digest).await?,
            version: VersionView::new(&version, active, unavailable),
            manifest: version.manifest_text,
        })
    }
}

/// The active version of an existing plugin.
async fn active(
    state: &AdminState,
    access: &TenantAccess<Viewer>,
    plugin: &PluginName,
) -> Result<Option<VersionDigest>, Problem> {
    let plugin = state.db.plugin(access.tenant.id, plugin).await?;
    plugin
        .map(|plugin| plugin.active)
        .ok_or_else(|| Problem::not_found(Resource::Plugin))
}

fn too_many(exhausted: Exhausted) -> Problem {
    let detail = match exhausted {
        Exhausted::Tenant => "too many uploads of this tenant are under way",
        Exhausted::Shared => "too many uploads are under way",
    };
    Problem::new(Code::Overloaded, detail).retry_after(UPLOAD_RETRY)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type.and_then(|value| value.split(';').next()) {
        Some(essence) if essence.trim().eq_ignore_ascii_case("application/wasm") => Ok(()),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "the body must be a component: `Content-Type: application/wasm`",
        )),
    }
}
