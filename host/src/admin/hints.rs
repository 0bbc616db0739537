//! What to do next, for problems that say that something is not there (which request shows what
//! there is) or that an upload is too large.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::error::TOO_LARGE;
use crate::http::problem::{Code, Problem};

/// Adds the hint to a problem on its way out. It stands around all handlers, so that none can
/// forget it.
pub async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response.extensions_mut().insert(with_hint(problem));
    }
    response
}

fn with_hint(problem: Problem) -> Problem {
    if problem.has("hint") {
        return problem;
    }
    let hint = match problem.code() {
        Code::NotFound => problem
            .detail()
            .strip_prefix("there is no such ")
            .and_then(hint_for),
        // Bodies of JSON have a hint of their own, so this is an upload.
        Code::BodyTooLarge => Some(TOO_LARGE),
        _ => None,
    };
    match hint {
        Some(hint) => problem.with("hint", hint),
        None => problem,
    }
}

fn hint_for(what: &str) -> Option<&'static str> {
    Some(match what {
        "tenant" => {
            "`mortise tenants list` (GET /api/v1/tenants) shows the tenants, and `--deleted` those that can \
             be restored; a token of a tenant sees only its own"
        }
        "plan" => "`mortise plans list` (GET /api/v1/plans) shows the plans",
        "plugin" => {
            "`mortise plugins list --tenant …` (GET /api/v1/tenants/{tenant}/plugins) shows the plugins, and \
             `--deleted` those that can be restored"
        }
        "version" | "version to go back to" => {
            "`mortise versions list --tenant … --plugin …` (GET …/plugins/{plugin}/versions) shows the \
             versions"
        }
        "activation" => "the plugin has no active version yet; `mortise deploy` makes one active",
        "secret" => {
            "`mortise secrets list --tenant …` (GET /api/v1/tenants/{tenant}/secrets) shows the names"
        }
        "setting" => {
            "`mortise config list --tenant … --plugin …` (GET …/plugins/{plugin}/config) shows the settings"
        }
        "API key" => {
            "`mortise keys list --tenant …` (GET /api/v1/tenants/{tenant}/api-keys) shows the keys; they are \
             named by their id, not by their name"
        }
        "token" => {
            "`mortise tokens list` (GET /api/v1/tokens, or /api/v1/tenants/{tenant}/tokens) shows the \
             tokens; they are named by their id, not by their name"
        }
        "invocation" => {
            "`mortise invocations list --tenant …` (GET /api/v1/tenants/{tenant}/invocations) shows the \
             invocations that are kept; the oldest leave by `retention.invocations` and the limit \
             `records_kept`"
        }
        "address in the admin API" => "/api/v1/openapi.json lists the addresses, and /docs shows them",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_speaks_of_what_was_asked_for() {
        for (what, wanted) in [
            ("API key", "mortise keys list"),
            ("secret", "mortise secrets list"),
            ("plan", "mortise plans list"),
        ] {
            assert!(hint_for(what).unwrap().contains(wanted), "{what}");
        }
        let own = Problem::not_found("token").with("hint", "mine");
        assert_eq!(format!("{:?}", with_hint(own.clone())), format!("{own:?}"));
    }
}
