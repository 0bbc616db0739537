//! Endpoints for mail: lists and single mails, their contents, the suppression list, and settings.

mod change;
mod content;
mod export;
mod filter;
mod settings;
mod suppressions;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, Right, TenantAccess, Viewer};
use super::input::{At, NoParams, Params};
use super::jobs::content as content_for;
use super::logs::require_plugin;
use super::page::Paging;
use super::state::AdminState;
use crate::domain::id::MailId;
use crate::domain::mail::Mail;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::storage::{MailFilter, MailPosition};
use crate::tenants::budget::{Charge, Exhausted};
use crate::wire::mail::{MailDetail, MailView};
use crate::wire::page::Items;
use filter::{MailQuery, MailSearch};

/// `Retry-After` if too many searches and exports run.
const RETRY: Duration = Duration::from_secs(5);

/// Lists mail, the newest first. Viewers do not see addresses, subjects, tags and errors.
#[utoipa::path(get, path = "/tenants/{tenant}/mail", tag = "mail", params(MailQuery),
    responses((status = 200, body = Items<MailView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<MailQuery>,
) -> Result<Json<Items<MailView>>, Problem> {
    let (filter, paging) = query.read()?;
    listed(&state, &access, &filter, &paging).await
}

/// Finds mail by recipient, by tag, or by a text in the subject, the text part or an address; the
/// newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/search", tag = "mail", params(MailSearch),
    responses((status = 200, body = Items<MailView>)), security(("token" = ["developer"])))]
async fn search(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<MailSearch>,
) -> Result<Json<Items<MailView>>, Problem> {
    let (filter, paging) = query.read()?;
    // A text is looked for in every stored mail of the tenant.
    let _held = reading_share(&state, &access)?;
    listed(&state, &access, &filter, &paging).await
}

/// Shows a mail and what became of it for each recipient. Viewers do not see addresses, subjects,
/// tags and replies of servers.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/{mail}", tag = "mail",
    responses((status = 200, body = MailDetail)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<Json<MailDetail>, Problem> {
    shown(&state, &access, id).await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, change::purge))
        .routes(routes!(search))
        .routes(routes!(export::export))
        .routes(routes!(get, change::delete))
        .routes(routes!(change::resend))
        .routes(routes!(content::source))
        .routes(routes!(content::text))
        .routes(routes!(content::html))
        .routes(routes!(suppressions::suppressions, suppressions::suppress))
        .routes(routes!(suppressions::unsuppress))
        .routes(routes!(
            settings::get_sender_domains,
            settings::put_sender_domains
        ))
        .routes(routes!(
            settings::get_smtp,
            settings::put_smtp,
            settings::delete_smtp
        ))
        .routes(routes!(settings::get_failures, settings::put_failures))
}

/// A page of the mail that matches.
async fn listed<R: Right>(
    state: &AdminState,
    access: &TenantAccess<R>,
    filter: &MailFilter,
    paging: &Paging,
) -> Result<Json<Items<MailView>>, Problem> {
    let tenant = access.tenant.id;
    let page = paging.page()?;
    let found = state.db.mails(tenant, filter, page.clone()).await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(state, tenant, filter.plugin.as_ref()).await?;
    }
    let content = content_for(access);
    let position = |mail: &Mail| MailPosition(mail.id);
    Ok(Json(Items::new(found, &page, position, |mail| {
        MailView::new(mail, content)
    })))
}

/// A mail as its caller may see it.
async fn shown<R: Right>(
    state: &AdminState,
    access: &TenantAccess<R>,
    id: MailId,
) -> Result<Json<MailDetail>, Problem> {
    let mail = known(state, access, id).await?;
    Ok(Json(MailDetail::new(mail, content_for(access))))
}

async fn known<R: Right>(state: &AdminState, access: &TenantAccess<R>, id: MailId) -> Result<Mail, Problem> {
    let found = state.db.mail(access.tenant.id, id).await?;
    found.ok_or_else(|| Problem::not_found(Resource::Mail))
}

/// A share of what reads many mails at once: searches and exports.
fn reading_share<R: Right>(state: &AdminState, access: &TenantAccess<R>) -> Result<Charge, Problem> {
    let held = state.shares.of(access.holder).exports.charge(1);
    held.map_err(|exhausted| {
        let detail = match exhausted {
            Exhausted::Tenant => {
                "the tenant or the operator's token has as many searches and exports under way as allowed"
            }
            Exhausted::Shared => "this host has as many searches and exports under way as allowed",
        };
        Problem::new(Code::Overloaded, detail).retry_after(RETRY)
    })
}
