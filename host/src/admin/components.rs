//! Endpoints for the components of all tenants, and for the rules that they match.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::HostAccess;
use super::error::invalid;
use super::input::Params;
use super::page::{Paging, limit};
use super::state::AdminState;
use crate::components::shield::Shield;
use crate::http::problem::Problem;
use crate::lifecycle::ListedComponent;
use crate::storage::StoredComponent;
use crate::wire::components::{AuditedVersion, StoredComponentView};
use crate::wire::page::Items;

/// Filter for versions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Versions that match this rule: `proposal:simd`, `instruction:call_indirect`,
    /// `import:wasi:random/*`. By default, versions that this host refuses, because of `[shield]`
    /// or because it no longer supports a proposal.
    uses: Option<String>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Versions that are checked per page: 1 to 200. Only those that match are listed.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Lists the versions of all tenants that match a rule. A page may have few or no items and still a
/// `next`.
#[utoipa::path(get, path = "/components/audit", tag = "components", params(AuditQuery),
    responses((status = 200, body = Items<AuditedVersion>)), security(("token" = ["operator"])))]
async fn audit(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Items<AuditedVersion>>, Problem> {
    let asked = query
        .uses
        .map(|rule| {
            rule.parse::<Shield>()
                .map_err(|error| invalid(format!("uses: {error}")))
        })
        .transpose()?;
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let page = paging.page()?;
    let found = state.db.components(page.clone()).await?;
    let Items { items, next } = Items::new(found, &page, |found| found.position.clone(), |found| found);
    let mut matching = Vec::new();
    for StoredComponent {
        position,
        tenant_name,
        is_active,
    } in items
    {
        let rules = state
            .lifecycle
            .matching_rules(position.digest, asked.as_ref())
            .await;
        let (rules, unknown) = match rules {
            Ok(rules) if rules.is_empty() => continue,
            Ok(rules) => (rules, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        matching.push(AuditedVersion {
            tenant: tenant_name,
            plugin: position.plugin,
            version: position.digest,
            active: is_active,
            rules,
            unknown,
        });
    }
    Ok(Json(Items {
        items: matching,
        next,
    }))
}

/// Lists the stored components of all tenants, by version.
#[utoipa::path(get, path = "/components", tag = "components", params(Paging),
    responses((status = 200, body = Items<StoredComponentView>)), security(("token" = ["operator"])))]
async fn list(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<StoredComponentView>>, Problem> {
    let page = paging.page()?;
    let found = state.lifecycle.stored_components(page.clone()).await?;
    let view = |listed: ListedComponent| StoredComponentView {
        version: listed.object.digest,
        size: listed.object.size,
        stored_at: listed.object.stored_at,
        used: listed.is_used,
        compiled: listed.is_compiled,
    };
    Ok(Json(Items::new(
        found,
        &page,
        |listed| listed.object.digest,
        view,
    )))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(audit))
}
