//! The page at which the receiver of a mail unsubscribes, and the POST by which mail programs do so
//! with one click (RFC 8058).
//!
//! `GET` changes nothing, because mail programs and scanners open every link of a mail.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};

use super::{Gateway, refusals};
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::domain::problem::Code;
use crate::domain::suppression::{AddressKey, Suppression, SuppressionReason};
use crate::http::problem::Problem;
use crate::metrics::MailCounters;
use crate::storage::Repository;
use crate::tenants::Caller;

/// The route below a tenant.
pub const ROUTE: &str = "/{tenant}/-/unsubscribe/{token}";

/// Where unsubscriptions are stored and counted.
pub struct Unsubscriptions {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// The counters of mail.
    pub counters: Arc<MailCounters>,
}

/// The tenant and the token in the path.
type Target = Result<Path<(String, String)>, PathRejection>;

/// Asks whether the address should get no more mail.
pub async fn show(target: Target, State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let (_, _, address) = opened(&gateway, target).await?;
    let address = escaped(address.as_str());
    Ok(page(&format!(
        "<p>Should <b>{address}</b> get no more mail from this sender?</p>\n\
         <form method=\"post\"><button>Unsubscribe</button></form>"
    )))
}

/// Puts the address on the suppression list. Repeating it changes nothing.
pub async fn unsubscribe(target: Target, State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let (unsubscriptions, tenant, address) = opened(&gateway, target).await?;
    let now = gateway.clock.now();
    let shown = escaped(address.as_str());
    // Viewers of the tenant read the audit log, so it does not name the address.
    let change = Change::new(Change::HOST, "mail.unsubscribe", address.masked(), now);
    let suppression = Suppression {
        address,
        reason: SuppressionReason::Unsubscribed,
        detail: None,
        mail: None,
        created_at: now,
    };
    let stored = unsubscriptions.db.suppress(tenant, &suppression, &change).await;
    if stored.map_err(Problem::unavailable)? {
        unsubscriptions.counters.unsubscribed();
    }
    Ok(page(&format!(
        "<p><b>{shown}</b> gets no more mail from this sender.</p>"
    )))
}

/// Refuses other methods.
pub async fn other_methods() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path answers GET, HEAD, POST")
        .header(ALLOW, HeaderValue::from_static("GET, HEAD, POST"))
}

/// Checks the rate of the tenant, and opens the token.
async fn opened(
    gateway: &Gateway,
    target: Target,
) -> Result<(&Unsubscriptions, TenantId, AddressKey), Problem> {
    let nothing = || Problem::new(Code::NotFound, "this link is not valid, or is not complete");
    let Path((tenant, token)) = target.map_err(|_| nothing())?;
    let unsubscriptions = gateway.unsubscriptions.as_ref().ok_or_else(nothing)?;
    // Also a suspended tenant's mail may have been read just now.
    let tenant = gateway.routing.tenant(&tenant).ok_or_else(nothing)?;
    let now = gateway.clock.now();
    tenant
        .admission
        .check_rate(Caller::Anonymous, now)
        .map_err(|rate| refusals::rate_limited("tenant", rate))?;
    let key = unsubscriptions.db.unsubscribe_key(tenant.id).await;
    let key = key.map_err(Problem::unavailable)?;
    match key.open(tenant.id, &token) {
        Some(address) => Ok((unsubscriptions, tenant.id, address)),
        None => {
            let failures = tenant.admission.check_failures(now);
            failures.map_err(refusals::too_many_failures)?;
            Err(nothing())
        }
    }
}

/// A page for people, which loads nothing and runs no script.
fn page(content: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>Unsubscribe</title>\n<h1>Unsubscribe</h1>\n{content}\n</html>\n"
    );
    let policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, html).into_response()
}

/// Text within HTML.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_no_markup() {
        assert_eq!(
            escaped("<a'b\"&c>@example.com"),
            "&lt;a&#39;b&quot;&amp;c&gt;@example.com"
        );
    }
}
