//! Endpoints for the suppression list: addresses to which a tenant's plugins send no mail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::access::{Developer, TenantAccess};
use super::super::bounds::{self, Kind};
use super::super::input::{At, Input, NoParams, Params, check_label};
use super::super::page::Paging;
use super::super::state::AdminState;
use crate::domain::resource::Resource;
use crate::domain::suppression::{AddressKey, Suppression, SuppressionReason};
use crate::http::problem::Problem;
use crate::wire::mail_settings::{NewSuppression, SuppressionView};
use crate::wire::page::Items;

/// Lists the addresses to which the tenant's plugins send no mail, by address.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/suppressions", tag = "mail", params(Paging),
    responses((status = 200, body = Items<SuppressionView>)), security(("token" = ["developer"])))]
pub async fn suppressions(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<SuppressionView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.suppressions(access.tenant.id, page.clone()).await?;
    let position = |suppression: &Suppression| suppression.address.clone();
    Ok(Json(Items::new(found, &page, position, SuppressionView::from)))
}

/// Adds an address to the suppression list. If it is on the list already, its entry stays as it is
/// (200).
#[utoipa::path(post, path = "/tenants/{tenant}/mail/suppressions", tag = "mail",
    request_body = NewSuppression,
    responses((status = 201, description = "Added"), (status = 200, description = "On the list before")),
    security(("token" = ["developer"])))]
pub async fn suppress(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewSuppression>,
) -> Result<StatusCode, Problem> {
    if let Some(note) = &input.note {
        check_label("note", note)?;
    }
    let tenant = access.tenant.id;
    let known = state
        .db
        .suppressed(tenant, std::slice::from_ref(&input.address))
        .await?;
    if !known.is_empty() {
        return Ok(StatusCode::OK);
    }
    let counting = bounds::room_for(&state, &access.tenant, Kind::Suppressions, 1).await?;
    // Viewers read the audit log, so it does not name the address.
    let change = state.change(&access.actor, "mail.suppress", input.address.masked());
    let suppression = Suppression {
        address: input.address,
        reason: SuppressionReason::Added,
        detail: input.note,
        mail: None,
        created_at: change.at,
    };
    let added = state.db.suppress(tenant, &suppression, &change).await?;
    drop(counting);
    Ok(match added {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    })
}

/// Removes an address from the suppression list. Only do so if the person asks for it: mail to
/// people who unsubscribed, or to mailboxes that do not exist, makes servers refuse all mail of the
/// sender.
#[utoipa::path(delete, path = "/tenants/{tenant}/mail/suppressions/{address}", tag = "mail",
    responses((status = 204, description = "Removed")), security(("token" = ["developer"])))]
pub async fn unsuppress(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(address): At<AddressKey>,
) -> Result<StatusCode, Problem> {
    let change = state.change(&access.actor, "mail.unsuppress", address.masked());
    match state.db.unsuppress(access.tenant.id, &address, &change).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(Resource::Suppression)),
    }
}

impl From<Suppression> for SuppressionView {
    fn from(suppression: Suppression) -> Self {
        let Suppression {
            address,
            reason,
            detail,
            mail,
            created_at,
        } = suppression;
        Self {
            address,
            reason,
            detail,
            mail,
            created_at,
        }
    }
}
