//! Authenticates the caller by its credential, and checks the scopes that the route or function
//! requires.

use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::{ApiKeyId, TokenId};
use crate::domain::manifest::{Auth, CredentialKind};
use crate::domain::principal::Principal;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::server::bearer;
use crate::tenants::{EntryPoint, TenantRoutes};

/// The header for an API key, an alternative to `Authorization: Bearer`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A scope that stands for all scopes.
const EVERY_SCOPE: &str = "*";

/// The caller, or `None` if the callee is public. The caller's scopes are not checked yet.
pub fn authenticate(
    tenant: &TenantRoutes,
    entry: &EntryPoint,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Principal>, Problem> {
    match &entry.auth {
        Auth::Public(_) => Ok(None),
        Auth::AnyOf(kinds) => {
            let accepts_api_keys = kinds.contains(&CredentialKind::ApiKey);
            let principal = presented(headers).filter(|_| accepts_api_keys);
            let principal = principal.and_then(|credential| tenant.api_keys.authenticate(&credential, now));
            principal.map(Some).ok_or_else(unauthenticated)
        }
    }
}

/// Whether a header contains a credential of the host. Plugins never receive it, not even an admin
/// token that was sent here by mistake.
pub fn is_credential(name: &HeaderName, value: &HeaderValue) -> bool {
    let is_ours = |text: &str| {
        Credential::<ApiKeyId>::parse(text).is_ok() || Credential::<TokenId>::parse(text).is_ok()
    };
    *name == API_KEY || (*name == AUTHORIZATION && bearer(value).is_some_and(is_ours))
}

fn presented(headers: &HeaderMap) -> Option<Credential<ApiKeyId>> {
    // Some clients send the header with an empty value if no key is configured.
    let api_key = headers
        .get(API_KEY)
        .filter(|value| !value.as_bytes().trim_ascii().is_empty());
    let text = match api_key {
        Some(value) => value.to_str().ok(),
        None => headers.get(AUTHORIZATION).and_then(bearer),
    };
    Credential::parse(text?.trim()).ok()
}

/// Rejects a caller that lacks a scope.
pub fn check_scopes(principal: &Principal, entry: &EntryPoint) -> Result<(), Problem> {
    let holds = |wanted: &str| {
        principal
            .scopes()
            .iter()
            .any(|scope| scope == wanted || scope == EVERY_SCOPE)
    };
    let missing: Vec<&str> = entry
        .scopes
        .iter()
        .map(String::as_str)
        .filter(|wanted| !holds(wanted))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("the credential lacks {}", missing.join(", "));
    Err(Problem::new(Code::InsufficientScope, detail))
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "send a valid API key as `Authorization: Bearer …` or as `x-api-key`",
    )
    .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
