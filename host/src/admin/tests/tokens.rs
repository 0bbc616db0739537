//! Tests of tokens without a tenant, of wrong roles, and of repeated requests.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::TestApp;
use crate::domain::role::Role;
use crate::domain::token::FIRST_OPERATOR;
use crate::storage::conformance::{change, plugin, tenant};

#[tokio::test]
async fn a_token_for_metrics_reads_them_and_nothing_else() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let made = json!({ "name": "prometheus", "role": "metrics" });
    let made = app.call(&operator, "POST", "/api/v1/tokens", Some(made)).await;
    assert_eq!(
        (made.status, &made.body["role"]),
        (StatusCode::CREATED, &json!("metrics"))
    );
    let metrics = made.body["credential"].as_str().unwrap();
    assert_eq!(app.get(metrics, "/metrics").await.status, StatusCode::OK);
    for path in [
        "/api/v1/whoami",
        "/api/v1/node",
        "/api/v1/tenants/acme",
        "/api/v1/tenants/nobody",
    ] {
        let refused = app.get(metrics, path).await;
        assert_eq!(
            refused.problem(),
            "403 insufficient-scope: this token has the role metrics, with which `GET /metrics` can be read and nothing else",
            "{path}"
        );
    }
    let list = app.get(&operator, "/api/v1/tokens").await;
    let roles: Vec<&Value> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| &token["role"])
        .collect();
    assert_eq!(roles, ["operator", "metrics"]);
    let path = format!("/api/v1/tokens/{}", made.body["id"].as_str().unwrap());
    let revoked = app.call(&operator, "DELETE", &path, None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(
        app.get(metrics, "/metrics").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_name_of_the_hosts_own_token_is_taken() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    for role in ["operator", "metrics"] {
        let body = json!({ "name": FIRST_OPERATOR, "role": role });
        let refused = app.call(&operator, "POST", "/api/v1/tokens", Some(body)).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{role}");
    }
}

#[tokio::test]
async fn roles_that_are_wrong_or_missing_are_answered_with_those_that_fit() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let mut answers = Vec::new();
    for (path, body) in [
        ("/api/v1/tokens", json!({ "name": "x", "role": "viewer" })),
        (
            "/api/v1/tenants/acme/tokens",
            json!({ "name": "x", "role": "admin" }),
        ),
        ("/api/v1/tenants/acme/tokens", json!({ "name": "x" })),
    ] {
        answers.push(app.call(&operator, "POST", path, Some(body)).await.problem());
    }
    insta::assert_snapshot!(answers.join("\n"), @"
    400 invalid-request: role: `viewer` is not a role without a tenant; use operator or metrics. Tokens of a tenant's people are made with POST /api/v1/tenants/{tenant}/tokens (`mortise tokens create NAME --tenant … --role …`)
    400 invalid-request: role: `admin` is not a role of a tenant; use viewer, developer or owner. Tokens for the whole host are made without a tenant (`POST /api/v1/tokens`, or `mortise tokens create NAME --operator`)
    400 invalid-request: role: it is missing; use viewer, developer or owner
    ");
    for body in [json!({ "name": "a" }), json!({ "name": "b", "role": "operator" })] {
        let made = app.call(&operator, "POST", "/api/v1/tokens", Some(body)).await;
        assert_eq!(made.body["role"], "operator");
    }
}

#[tokio::test]
async fn what_is_done_a_second_time_says_so() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    plugin(&*app.db, acme.id, "orders").await;
    let owner = app.owner(acme.id).await;
    for (path, body, what) in [
        (
            "/api/v1/tenants/acme/api-keys",
            json!({ "name": "shop" }),
            "API key",
        ),
        (
            "/api/v1/tenants/acme/tokens",
            json!({ "name": "shop", "role": "viewer" }),
            "token",
        ),
    ] {
        let made = app.call(&owner, "POST", path, Some(body.clone())).await;
        let twin = app.call(&owner, "POST", path, Some(body)).await;
        assert_eq!(twin.status, StatusCode::CREATED, "names need not be unique");
        let path = format!("{path}/{}", made.body["id"].as_str().unwrap());
        let first = app.call(&owner, "DELETE", &path, None).await;
        assert_eq!(first.status, StatusCode::NO_CONTENT);
        app.clock.advance(std::time::Duration::from_secs(60));
        let second = app.call(&owner, "DELETE", &path, None).await;
        assert_eq!(second.status, StatusCode::CONFLICT);
        let said = second.problem();
        assert!(
            said.contains(&format!("the {what} `shop` was revoked before, at 2023-")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn settings_are_set_and_removed_one_by_one_and_have_plain_names() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let (orders, _) = plugin(&*app.db, acme.id, "orders").await;
    let owner = app.owner(acme.id).await;
    let config = "/api/v1/tenants/acme/plugins/orders/config";
    let put = async |path: &str, body: Value| app.call(&owner, "PUT", path, Some(body)).await;
    let set = put(&format!("{config}/currency"), json!({ "value": "EUR" })).await;
    assert_eq!(set.body, json!({ "currency": "EUR" }));
    let odd = put(config, json!({ "Bad Key": "1" })).await;
    assert_eq!(
        odd.problem(),
        "400 invalid-request: \"Bad Key\" is not the name of a setting: 1 to 128 of a-z, A-Z, 0-9, `_`, `-` and `.`"
    );
    let odd = put(&format!("{config}/Bad%20Key"), json!({ "value": "1" })).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);

    // A name that an earlier host accepted is kept until it is removed.
    app.db
        .put_config_value(acme.id, &orders, "Bad Key", Some("1"), &change(3_000))
        .await
        .unwrap();
    let kept = put(config, json!({ "Bad Key": "2", "currency": "USD" })).await;
    assert_eq!(kept.status, StatusCode::OK);
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let removed = app
            .call(&owner, "DELETE", &format!("{config}/Bad%20Key"), None)
            .await;
        assert_eq!(removed.status, status);
    }
    let absent = app.call(&owner, "DELETE", &format!("{config}/typo"), None).await;
    assert_eq!(absent.problem(), "404 not-found: there is no such setting");
    assert!(
        absent.body["hint"]
            .as_str()
            .unwrap()
            .contains("mortise config list")
    );
    assert_eq!(app.get(&owner, config).await.body, json!({ "currency": "USD" }));
}

#[tokio::test]
async fn hints_fit_what_was_asked_for() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (method, path, wanted) in [
        ("GET", "/api/v1/tenants/nobody".to_owned(), "tenants list"),
        ("GET", "/api/v1/plans/nothing".to_owned(), "plans list"),
        ("GET", "/api/v1/tenants/acme/plugins/x".to_owned(), "plugins list"),
        (
            "DELETE",
            "/api/v1/tenants/acme/secrets/x".to_owned(),
            "secrets list",
        ),
        (
            "DELETE",
            format!("/api/v1/tenants/acme/api-keys/{id}"),
            "keys list",
        ),
        ("DELETE", format!("/api/v1/tokens/{id}"), "tokens list"),
        (
            "GET",
            format!("/api/v1/tenants/acme/invocations/{id}"),
            "invocations",
        ),
        ("GET", "/api/v1/nothing".to_owned(), "openapi.json"),
        ("DELETE", "/api/v1/plans/standard".to_owned(), "mortise plans set"),
        ("GET", "/api/v1/tenants/nobody".to_owned(), "mortise whoami"),
    ] {
        let answer = app.call(&operator, method, &path, None).await;
        let hint = answer.body["hint"].as_str().unwrap_or("none");
        assert!(hint.contains(wanted), "{method} {path}: {hint}");
    }
    let taken = app
        .call(
            &operator,
            "POST",
            "/api/v1/tenants",
            Some(json!({ "name": "acme" })),
        )
        .await;
    assert_eq!(taken.body["hint"], "choose another tenant name");
}

#[tokio::test]
async fn who_lacks_a_role_is_sent_to_somebody_who_can_help() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let viewer = app.with_role(Role::Viewer, acme.id).await;
    let owner = app.owner(acme.id).await;
    let secret = "/api/v1/tenants/acme/secrets/k";
    for (token, method, path, wanted) in [
        (&viewer, "DELETE", secret, "ask an owner of the tenant"),
        (&viewer, "GET", "/api/v1/plans", "ask an operator of the host"),
        (
            &owner,
            "PATCH",
            "/api/v1/tenants/acme",
            "ask an operator of the host",
        ),
        (
            &owner,
            "GET",
            "/metrics",
            "`mortise tokens create NAME --role metrics`",
        ),
    ] {
        let refused = app.call(token, method, path, Some(json!({}))).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        let hint = refused.body["hint"].as_str().unwrap_or("none");
        assert!(hint.contains(wanted), "{method} {path}: {hint}");
    }
    let nobody = app.get("", "/api/v1/plans").await;
    assert!(nobody.body["hint"].as_str().unwrap().starts_with("pass a token"));
}
