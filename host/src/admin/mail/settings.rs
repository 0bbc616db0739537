//! Endpoints for settings of mail: sender domains, a tenant's own server, and simulated failures.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::access::{Developer, Operator, Owner, TenantAccess, Viewer};
use super::super::error::invalid;
use super::super::input::{Input, NoParams};
use super::super::state::AdminState;
use crate::domain::audit::Difference;
use crate::domain::id::TenantId;
use crate::domain::mail_address::ascii_domain;
use crate::domain::mail_failures::MailFailures;
use crate::domain::resource::Resource;
use crate::domain::smtp::SmtpSettings;
use crate::http::problem::Problem;
use crate::wire::mail_settings::{SenderDomainsView, SmtpView};

/// The most sender domains of a tenant.
const MAX_DOMAINS: usize = 100;

/// Shows the domains from which the tenant may send mail.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/sender-domains", tag = "mail",
    responses((status = 200, body = SenderDomainsView)), security(("token" = ["viewer"])))]
pub async fn get_sender_domains(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<SenderDomainsView>, Problem> {
    let domains = state.db.sender_domains(access.tenant.id).await?;
    Ok(Json(SenderDomainsView { domains }))
}

/// Replaces the domains from which the tenant may send mail. By the mail server of the host, a
/// tenant sends from these only; by its own server from any, until one is listed here. Mail that is
/// caught may come from any domain. Subdomains are listed on their own.
#[utoipa::path(put, path = "/tenants/{tenant}/mail/sender-domains", tag = "mail",
    request_body = SenderDomainsView,
    responses((status = 200, body = SenderDomainsView)), security(("token" = ["operator"])))]
pub async fn put_sender_domains(
    access: TenantAccess<Operator>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<SenderDomainsView>,
) -> Result<Json<SenderDomainsView>, Problem> {
    if input.domains.len() > MAX_DOMAINS {
        return Err(invalid(format!("domains: there may be {MAX_DOMAINS} of them")));
    }
    let mut domains = BTreeSet::new();
    for domain in &input.domains {
        // Senders are compared in lower case and in ASCII.
        domains.insert(ascii_domain(domain).ok_or_else(|| {
            let wrong: String = domain.chars().take(100).collect();
            invalid(format!("domains: `{wrong}` is not a domain such as example.com"))
        })?);
    }
    let tenant = access.tenant.id;
    let after = SenderDomainsView { domains };
    let before = SenderDomainsView {
        domains: state.db.sender_domains(tenant).await?,
    };
    if before != after {
        let change = state.change(&access.actor, "mail.sender-domains", "");
        let change = change.with(Difference::between(&before, &after));
        state
            .db
            .put_sender_domains(tenant, &after.domains, &change)
            .await?;
    }
    Ok(Json(after))
}

/// Shows the tenant's own mail server. Without one, its mail goes to the server of the host, or to
/// the catcher if the host has none.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/smtp", tag = "mail",
    responses((status = 200, body = SmtpView)), security(("token" = ["viewer"])))]
pub async fn get_smtp(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<SmtpView>, Problem> {
    let tenant = access.tenant.id;
    let server = state.db.smtp_settings(tenant).await?;
    smtp_view(&state, tenant, server).await
}

/// Sets the tenant's own mail server. The password is a secret of the tenant, which
/// `password_secret` names. Ports are those of mail servers, and addresses that the host does not
/// let plugins reach are refused when the mail is sent.
#[utoipa::path(put, path = "/tenants/{tenant}/mail/smtp", tag = "mail", request_body = SmtpSettings,
    responses((status = 200, body = SmtpView)), security(("token" = ["owner"])))]
pub async fn put_smtp(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(settings): Input<SmtpSettings>,
) -> Result<Json<SmtpView>, Problem> {
    settings.check().map_err(invalid)?;
    let tenant = access.tenant.id;
    let former = state.db.smtp_settings(tenant).await?;
    let change = state.change(&access.actor, "mail.smtp", settings.host.as_str());
    let change = change.with(Difference::between(&former, &settings));
    state.db.put_smtp_settings(tenant, &settings, &change).await?;
    smtp_view(&state, tenant, Some(settings)).await
}

/// Removes the tenant's own mail server. Its mail goes to the server of the host, or to the catcher
/// if the host has none.
#[utoipa::path(delete, path = "/tenants/{tenant}/mail/smtp", tag = "mail",
    responses((status = 204, description = "Removed")), security(("token" = ["owner"])))]
pub async fn delete_smtp(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<StatusCode, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.smtp_settings(tenant).await?;
    let change = state.change(&access.actor, "mail.smtp-delete", "");
    let change = change.with(Difference::removed(&former));
    match state.db.delete_smtp_settings(tenant, &change).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(Resource::MailServer)),
    }
}

/// Shows the failures that the tenant's catcher simulates.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/failures", tag = "mail",
    responses((status = 200, body = MailFailures)), security(("token" = ["developer"])))]
pub async fn get_failures(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<MailFailures>, Problem> {
    Ok(Json(state.db.mail_failures(access.tenant.id).await?))
}

/// Replaces the failures that the tenant's catcher simulates. They hold for mail that is caught
/// because there is no server, and never for mail that is sent.
#[utoipa::path(put, path = "/tenants/{tenant}/mail/failures", tag = "mail", request_body = MailFailures,
    responses((status = 200, body = MailFailures)), security(("token" = ["developer"])))]
pub async fn put_failures(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(failures): Input<MailFailures>,
) -> Result<Json<MailFailures>, Problem> {
    failures.check().map_err(invalid)?;
    let subject = format!("{} rules", failures.rules.len());
    let change = state.change(&access.actor, "mail.failures", subject);
    state
        .db
        .put_mail_failures(access.tenant.id, &failures, &change)
        .await?;
    Ok(Json(failures))
}

async fn smtp_view(
    state: &AdminState,
    tenant: TenantId,
    server: Option<SmtpSettings>,
) -> Result<Json<SmtpView>, Problem> {
    let secret = server.as_ref().and_then(|server| server.password_secret.clone());
    let password_is_set = match secret {
        Some(secret) => {
            let names = state.db.secret_names(tenant).await?;
            Some(names.iter().any(|(name, _)| *name == secret))
        }
        None => None,
    };
    Ok(Json(SmtpView {
        server,
        password_is_set,
    }))
}
