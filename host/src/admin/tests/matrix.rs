//! Tests of every route without a token, with a foreign token, and in every role. The routes come
//! from the OpenAPI document, so new ones are tested too.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;

use super::TestApp;
use crate::domain::id::VersionDigest;
use crate::domain::role::Role;
use crate::storage::conformance::tenant;

/// A route with the least role that it needs; `None` if any token is accepted.
struct Route {
    method: String,
    path: String,
    public: bool,
    role: Option<Role>,
}

async fn routes(app: &TestApp) -> Vec<Route> {
    let document = app.get("", "/api/v1/openapi.json").await;
    assert_eq!(document.status, StatusCode::OK);
    let mut routes = Vec::new();
    for (path, item) in document.body["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = &operation["security"][0];
            let scopes = security["token"].as_array();
            let role = scopes.and_then(|scopes| Some(scopes.first()?.as_str()?.parse().unwrap()));
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                public: security.as_object().is_some_and(|any| any.is_empty()),
                role,
            });
            assert!(operation["responses"]["default"].is_object(), "{method} {path}");
        }
    }
    assert!(routes.len() > 40, "{} routes", routes.len());
    routes
}

/// The path with well-formed values, mostly of missing resources, for all parameters.
fn filled(path: &str, tenant: &str) -> String {
    path.replace("{tenant}", tenant)
        .replace("{plugin}", "orders")
        .replace("{plan}", "unused")
        .replace("{name}", "stripe_key")
        .replace("{setting}", "currency")
        .replace("{version}", &VersionDigest::of(b"x").to_string())
        .replace("{api_key}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{token}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{invocation}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{job}", "sync-erp")
        .replace("{schedule}", "nightly")
        .replace("{endpoint}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{delivery}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{mail}", "01890a5d-ac96-774b-bcce-b302099a8057")
        .replace("{address}", "ada@example.com")
        .replace("{received}", "01890a5d-ac96-774b-bcce-b302099a8057")
}

#[tokio::test]
async fn nobody_is_let_in() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let other_secret = app.owner(acme.id).await;
    let forged = format!("{}AAAA", &other_secret[..other_secret.len() - 4]);
    for route in routes(&app).await {
        let path = filled(&route.path, "acme");
        for token in ["", "mt_nonsense", &forged] {
            let answer = app.call(token, &route.method, &path, None).await;
            if route.public {
                assert_eq!(answer.status, StatusCode::OK, "{} {path}", route.method);
            } else {
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
                assert_eq!(answer.body["code"], "unauthenticated");
            }
        }
    }
}

#[tokio::test]
async fn another_tenant_looks_like_one_that_is_not_there() {
    let app = TestApp::start().await;
    tenant(&*app.db, "acme").await;
    let stranger = tenant(&*app.db, "stranger").await;
    let token = app.owner(stranger.id).await;
    let mut probed = 0;
    for route in routes(&app).await {
        if !route.path.contains("{tenant}") {
            continue;
        }
        probed += 1;
        let mut bodies = BTreeSet::new();
        for name in ["acme", "nobody", "Not-A-Name"] {
            let path = filled(&route.path, name);
            let mut answer = app.call(&token, &route.method, &path, None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {path}", route.method);
            answer.body["request_id"] = Value::Null;
            bodies.insert(answer.body.to_string());
        }
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }
    assert!(probed > 25, "{probed} routes");
}

#[tokio::test]
async fn each_role_may_do_what_the_document_says() {
    let app = TestApp::start().await;
    for (index, route) in routes(&app).await.iter().enumerate() {
        if route.public {
            continue;
        }
        for role in Role::ALL {
            // Each call has its own tenant, since some calls delete it.
            let name = format!("t{index}-{role}");
            let own = tenant(&*app.db, &name).await;
            let token = app.with_role(role, own.id).await;
            let path = filled(&route.path, &name);
            let answer = app.call(&token, &route.method, &path, None).await;
            let at = format!("{} {path} as {role}: {}", route.method, answer.problem());
            // A metrics token allows nothing else, not even what any other token allows.
            let may = route.role.map_or(role != Role::Metrics, |least| role.may(least));
            if !may {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{at}");
                assert_eq!(answer.body["code"], "insufficient-scope", "{at}");
            } else {
                assert!(answer.status != StatusCode::FORBIDDEN, "{at}");
                assert!(answer.status != StatusCode::UNAUTHORIZED, "{at}");
            }
        }
    }
}

#[tokio::test]
async fn a_parameter_that_an_address_does_not_take_is_refused_by_its_name() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let mut probed = 0;
    for route in routes(&app).await {
        if !route.path.starts_with("/api/v1/") {
            continue;
        }
        probed += 1;
        let path = format!("{}?max=NaN", filled(&route.path, "acme"));
        let answer = app.call(&operator, &route.method, &path, None).await;
        let said = answer.problem();
        assert!(
            said.starts_with("400 invalid-request: max: "),
            "{} {path}: {said}",
            route.method
        );
    }
    assert!(probed > 40, "{probed} routes");
    assert_eq!(
        app.get(&operator, "/-/readyz?max=NaN").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_routes_are_these() {
    let app = TestApp::start().await;
    let mut lines: Vec<String> = routes(&app)
        .await
        .iter()
        .map(|route| {
            let role = match (route.public, route.role) {
                (true, _) => "public".to_owned(),
                (false, None) => "any".to_owned(),
                (false, Some(role)) => role.to_string(),
            };
            format!(
                "{role:9} {:6} {}",
                route.method,
                route.path.replace("/api/v1", "")
            )
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    any       GET    /whoami
    developer DELETE /tenants/{tenant}/dead-letters
    developer DELETE /tenants/{tenant}/jobs
    developer DELETE /tenants/{tenant}/mail
    developer DELETE /tenants/{tenant}/mail/suppressions/{address}
    developer DELETE /tenants/{tenant}/mail/{mail}
    developer DELETE /tenants/{tenant}/plugins/{plugin}/config/{setting}
    developer DELETE /tenants/{tenant}/plugins/{plugin}/jobs/pause
    developer DELETE /tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause
    developer DELETE /tenants/{tenant}/plugins/{plugin}/versions/{version}
    developer DELETE /tenants/{tenant}/webhooks/deliveries
    developer DELETE /tenants/{tenant}/webhooks/received/{received}
    developer GET    /tenants/{tenant}/jobs/export
    developer GET    /tenants/{tenant}/mail/export
    developer GET    /tenants/{tenant}/mail/failures
    developer GET    /tenants/{tenant}/mail/search
    developer GET    /tenants/{tenant}/mail/suppressions
    developer GET    /tenants/{tenant}/mail/{mail}/html
    developer GET    /tenants/{tenant}/mail/{mail}/source
    developer GET    /tenants/{tenant}/mail/{mail}/text
    developer GET    /tenants/{tenant}/webhooks/deliveries
    developer GET    /tenants/{tenant}/webhooks/deliveries/export
    developer GET    /tenants/{tenant}/webhooks/deliveries/{delivery}
    developer GET    /tenants/{tenant}/webhooks/endpoints
    developer GET    /tenants/{tenant}/webhooks/endpoints/{endpoint}
    developer PATCH  /tenants/{tenant}/plugins/{plugin}
    developer POST   /tenants/{tenant}/dead-letters/retry
    developer POST   /tenants/{tenant}/jobs/{id}/cancel
    developer POST   /tenants/{tenant}/jobs/{id}/retry
    developer POST   /tenants/{tenant}/mail/suppressions
    developer POST   /tenants/{tenant}/mail/{mail}/resend
    developer POST   /tenants/{tenant}/plugins/{plugin}/activation/back
    developer POST   /tenants/{tenant}/plugins/{plugin}/jobs/pause
    developer POST   /tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause
    developer POST   /tenants/{tenant}/plugins/{plugin}/schedules/{schedule}/run
    developer POST   /tenants/{tenant}/plugins/{plugin}/versions
    developer POST   /tenants/{tenant}/webhooks/deliveries/{delivery}/replay
    developer POST   /tenants/{tenant}/webhooks/endpoints/{endpoint}/replay
    developer POST   /tenants/{tenant}/webhooks/endpoints/{endpoint}/test
    developer POST   /tenants/{tenant}/webhooks/received/{received}/replay
    developer PUT    /tenants/{tenant}/mail/failures
    developer PUT    /tenants/{tenant}/plugins/{plugin}/activation
    developer PUT    /tenants/{tenant}/plugins/{plugin}/config
    developer PUT    /tenants/{tenant}/plugins/{plugin}/config/{setting}
    metrics   GET    /metrics
    operator  DELETE /plans/{plan}
    operator  DELETE /tenants/{tenant}
    operator  DELETE /tokens/{token}
    operator  GET    /audit
    operator  GET    /components
    operator  GET    /components/audit
    operator  GET    /node
    operator  GET    /plans
    operator  GET    /plans/{plan}
    operator  GET    /tenants
    operator  GET    /tokens
    operator  PATCH  /tenants/{tenant}
    operator  POST   /tenants
    operator  POST   /tenants/{tenant}/restore
    operator  POST   /tokens
    operator  PUT    /plans/{plan}
    operator  PUT    /tenants/{tenant}/mail/sender-domains
    owner     DELETE /tenants/{tenant}/api-keys/{api_key}
    owner     DELETE /tenants/{tenant}/mail/smtp
    owner     DELETE /tenants/{tenant}/plugins/{plugin}
    owner     DELETE /tenants/{tenant}/secrets/{name}
    owner     DELETE /tenants/{tenant}/tokens/{token}
    owner     DELETE /tenants/{tenant}/webhooks/endpoints/{endpoint}
    owner     GET    /tenants/{tenant}/tokens
    owner     PATCH  /tenants/{tenant}/webhooks/endpoints/{endpoint}
    owner     POST   /tenants/{tenant}/api-keys
    owner     POST   /tenants/{tenant}/plugins/{plugin}/restore
    owner     POST   /tenants/{tenant}/tokens
    owner     POST   /tenants/{tenant}/webhooks/endpoints
    owner     POST   /tenants/{tenant}/webhooks/endpoints/{endpoint}/rotate
    owner     PUT    /tenants/{tenant}/mail/smtp
    owner     PUT    /tenants/{tenant}/plugins/{plugin}/grants
    owner     PUT    /tenants/{tenant}/secrets/{name}
    public    GET    /-/healthz
    public    GET    /-/readyz
    viewer    GET    /tenants/{tenant}
    viewer    GET    /tenants/{tenant}/api-keys
    viewer    GET    /tenants/{tenant}/audit
    viewer    GET    /tenants/{tenant}/dead-letters
    viewer    GET    /tenants/{tenant}/invocations
    viewer    GET    /tenants/{tenant}/invocations/{invocation}
    viewer    GET    /tenants/{tenant}/jobs
    viewer    GET    /tenants/{tenant}/jobs/summary
    viewer    GET    /tenants/{tenant}/jobs/{id}
    viewer    GET    /tenants/{tenant}/limits
    viewer    GET    /tenants/{tenant}/logs
    viewer    GET    /tenants/{tenant}/mail
    viewer    GET    /tenants/{tenant}/mail/sender-domains
    viewer    GET    /tenants/{tenant}/mail/smtp
    viewer    GET    /tenants/{tenant}/mail/{mail}
    viewer    GET    /tenants/{tenant}/plugins
    viewer    GET    /tenants/{tenant}/plugins/{plugin}
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/activation
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/activations
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/calls
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/config
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/grants
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/limits
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/versions
    viewer    GET    /tenants/{tenant}/plugins/{plugin}/versions/{version}
    viewer    GET    /tenants/{tenant}/schedules
    viewer    GET    /tenants/{tenant}/secrets
    viewer    GET    /tenants/{tenant}/usage
    viewer    GET    /tenants/{tenant}/webhooks
    viewer    GET    /tenants/{tenant}/webhooks/received
    viewer    GET    /tenants/{tenant}/webhooks/received/{received}
    "#);
}
