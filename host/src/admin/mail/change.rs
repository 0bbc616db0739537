//! Endpoints that change mail: send again and delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, NoParams, Params};
use super::super::state::AdminState;
use super::filter::{MailSelection, subject};
use super::{known, shown};
use crate::domain::clock::Timestamp;
use crate::domain::host_job::HostJob;
use crate::domain::id::MailId;
use crate::domain::mail::Mail;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::storage::{MailFilter, Resent};
use crate::wire::mail::{DeletedMailView, MailDetail};

/// Mails that one transaction deletes. Other writers run between two of them.
const BLOCK: u32 = 200;

/// Sends a mail again: to the recipients that did not accept it, or to all if all have. A caught
/// mail is sent if there is a mail server by now. Suppressed addresses are left out again. 409 if
/// the mail waits to be sent already.
#[utoipa::path(post, path = "/tenants/{tenant}/mail/{mail}/resend", tag = "mail",
    responses((status = 200, body = MailDetail)), security(("token" = ["developer"])))]
pub async fn resend(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<Json<MailDetail>, Problem> {
    let tenant = access.tenant.id;
    let mail = known(&state, &access, id).await?;
    let change = state.change(&access.actor, "mail.resend", named(&mail));
    let limits = state.lifecycle.limits(&access.tenant).await?;
    let counts = state.db.counts(tenant, change.at).await?;
    if counts.jobs >= limits.job_backlog {
        let detail = format!(
            "the tenant has {} jobs that wait or run, and may have {} (limit `job_backlog`)",
            counts.jobs, limits.job_backlog
        );
        return Err(Problem::new(Code::Conflict, detail).hint(Hint::BacklogFull));
    }
    let job = HostJob::Mail.job(tenant, id.to_string(), change.at);
    match state.db.resend_mail(tenant, id, &job, &change).await? {
        None => Err(Problem::not_found(Resource::Mail)),
        Some(Resent::Waits) => {
            let detail = format!("the mail waits to be sent already, by the job {}", mail.job);
            Err(Problem::new(Code::Conflict, detail).hint(Hint::MailWaits))
        }
        Some(Resent::Queued) => {
            state.jobs.wake.jobs_added();
            shown(&state, &access, id).await
        }
    }
}

/// Deletes a mail with its content. If it waits to be sent, it is not sent any more, unless its
/// job runs at this moment.
#[utoipa::path(delete, path = "/tenants/{tenant}/mail/{mail}", tag = "mail",
    responses((status = 204, description = "Deleted")), security(("token" = ["developer"])))]
pub async fn delete(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<StatusCode, Problem> {
    let mail = known(&state, &access, id).await?;
    let change = state.change(&access.actor, "mail.delete", named(&mail));
    match state.db.delete_mail(access.tenant.id, id, &change).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(Resource::Mail)),
    }
}

/// Deletes the mail that matches, with its content; without a filter, all mail of the tenant. With
/// `recipient`, this erases what was sent to a person, also mail that had other recipients too.
/// Mail that is added while the request runs stays.
#[utoipa::path(delete, path = "/tenants/{tenant}/mail", tag = "mail", params(MailSelection),
    responses((status = 200, body = DeletedMailView)), security(("token" = ["developer"])))]
pub async fn purge(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<MailSelection>,
) -> Result<Json<DeletedMailView>, Problem> {
    let filter = selection.read()?;
    let change = state.change(&access.actor, "mail.purge", subject(&filter));
    let filter = until(filter, change.at);
    let mut deleted = 0;
    loop {
        let block = state
            .db
            .delete_mails(access.tenant.id, &filter, BLOCK, &change)
            .await?;
        deleted += u64::from(block);
        if block < BLOCK {
            return Ok(Json(DeletedMailView { deleted }));
        }
    }
}

/// Leaves out mail that is added from now on, so that a deletion of all mail ends.
fn until(filter: MailFilter, now: Timestamp) -> MailFilter {
    let end = Timestamp(now.0.saturating_add(1));
    MailFilter {
        to: Some(filter.to.map_or(end, |to| to.min(end))),
        ..filter
    }
}

/// The subject of a change of one mail.
fn named(mail: &Mail) -> String {
    format!("{} {}", mail.plugin, mail.id)
}
