//! Endpoints for the content of a mail: the message as it is sent, its text and its HTML.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, NoParams};
use super::super::state::AdminState;
use crate::domain::id::MailId;
use crate::domain::mail::MailContent;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;

/// A plugin, and whoever writes to it, decides what stands in a mail. A browser that shows one
/// runs no script, loads nothing, and sends no form.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
    frame-ancestors 'self'; sandbox";

/// Answers the whole message as it is handed to servers (RFC 5322), attachments included.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/{mail}/source", tag = "mail",
    responses((status = 200, body = String, content_type = "message/rfc822")),
    security(("token" = ["developer"])))]
pub async fn source(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<Response, Problem> {
    let content = content(&state, &access, id).await?;
    Ok(answer("message/rfc822", content.source))
}

/// Answers the text part of a mail.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/{mail}/text", tag = "mail",
    responses((status = 200, body = String, content_type = "text/plain")),
    security(("token" = ["developer"])))]
pub async fn text(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<Response, Problem> {
    let content = content(&state, &access, id).await?;
    Ok(answer("text/plain; charset=utf-8", content.text.into_bytes()))
}

/// Answers the HTML part of a mail. Its headers keep a browser from running scripts and from
/// loading anything. 404 if the mail has no HTML.
#[utoipa::path(get, path = "/tenants/{tenant}/mail/{mail}/html", tag = "mail",
    responses((status = 200, body = String, content_type = "text/html")),
    security(("token" = ["developer"])))]
pub async fn html(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<MailId>,
) -> Result<Response, Problem> {
    let content = content(&state, &access, id).await?;
    match content.html {
        Some(html) => Ok(answer("text/html; charset=utf-8", html.into_bytes())),
        None => Err(Problem::new(
            Code::NotFound,
            "this mail has no HTML; `…/text` has its text",
        )),
    }
}

async fn content(
    state: &AdminState,
    access: &TenantAccess<Developer>,
    id: MailId,
) -> Result<MailContent, Problem> {
    let found = state.db.mail_content(access.tenant.id, id).await?;
    found.ok_or_else(|| Problem::not_found(Resource::Mail))
}

fn answer(content_type: &'static str, body: Vec<u8>) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, Body::from(body)).into_response()
}
