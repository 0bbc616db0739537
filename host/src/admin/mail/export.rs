//! The export of a tenant's mail, one JSON object per line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;

use super::super::access::{Developer, TenantAccess};
use super::super::input::Params;
use super::super::jobs::view::Content;
use super::super::state::AdminState;
use super::filter::MailSelection;
use super::reading_share;
use crate::domain::id::TenantId;
use crate::http::problem::Problem;
use crate::storage::{DbError, MailFilter, MailPosition, Page};
use crate::tenants::budget::Charge;
use crate::wire::mail::{ExportedMail, MailDetail};

const MEDIA_TYPE: &str = "application/x-ndjson";

/// Mails that are in memory at once, with their attachments.
const MAILS_AT_ONCE: u32 = 4;

/// The state of an export.
struct Export {
    state: Arc<AdminState>,
    tenant: TenantId,
    filter: MailFilter,
    /// The last mail that was written.
    after: Option<MailPosition>,
    /// Whether mail may be left.
    more: bool,
    _held: Charge,
}

/// Exports mail with its content, the newest first: one JSON object per line, each in the form of
/// `GET …/mail/{mail}` with the whole message in `source_base64`. Without a filter, all mail of the
/// tenant. The body ends early if the database fails.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/export", tag = "mail", params(MailSelection),
    responses((status = 200, body = ExportedMail, content_type = "application/x-ndjson")),
    security(("token" = ["developer"])))]
pub async fn export(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<MailSelection>,
) -> Result<Response, Problem> {
    let filter = selection.read()?;
    let held = reading_share(&state, &access)?;
    let mut export = Export {
        tenant: access.tenant.id,
        state,
        filter,
        after: None,
        more: true,
        _held: held,
    };
    // The first lines are read before the response begins, so that a failure is still a problem.
    let first = export.next().await?;
    let rest = stream::try_unfold((Some(first), export), |(first, mut export)| async move {
        let lines = match first {
            Some(first) => first,
            None if export.more => export.next().await?,
            None => return Ok::<_, DbError>(None),
        };
        Ok(Some((Bytes::from(lines), (None, export))))
    });
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(rest)).into_response())
}

impl Export {
    /// The next lines.
    async fn next(&mut self) -> Result<Vec<u8>, DbError> {
        let page = Page {
            after: self.after,
            limit: MAILS_AT_ONCE,
        };
        let db = self.state.db.clone();
        let mails = db.mails(self.tenant, &self.filter, page).await?;
        self.more = mails.len() >= usize::try_from(MAILS_AT_ONCE).unwrap_or(usize::MAX);
        self.after = mails.last().map(|mail| MailPosition(mail.id)).or(self.after);
        let mut lines = Vec::new();
        for mail in mails {
            // The mail may have been deleted meanwhile.
            let Some(content) = db.mail_content(self.tenant, mail.id).await? else {
                continue;
            };
            let exported = ExportedMail {
                mail: MailDetail::new(mail, Content::Shown),
                source_base64: STANDARD.encode(content.source),
            };
            // Views always have a JSON form, which has no line breaks.
            serde_json::to_writer(&mut lines, &exported).map_err(|error| DbError::corrupt("mails", error))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}
