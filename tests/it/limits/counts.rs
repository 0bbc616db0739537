//! Tests of the limits on the number of a tenant's objects.

use serde_json::{Value, json};
use test_artifacts::ECHO;

use super::around;
use crate::app::{App, Reply, TestTenant, bundled};

/// The number of the tenant's `what`.
async fn count(app: &App, tenant: &TestTenant<'_>, what: &str) -> u64 {
    let page = app.admin("GET", &tenant.path("/usage")).send().await.expect(200);
    page.json()["counts"][what].as_u64().unwrap()
}

/// Creates three of `what` with `make`, with a limit of two, three and four, each in its own
/// tenant.
async fn three(app: &App, what: &str, make: impl AsyncFn(&TestTenant<'_>, u64) -> Reply) {
    for (limit, fits) in around(3) {
        let tenant = app.tenant(&format!("of-{limit}")).await;
        tenant.limit(&json!({ what: limit })).await;
        for number in 1..=2 {
            let made = make(&tenant, number).await;
            assert!(made.status.is_success(), "{}", made.text());
        }
        let third = make(&tenant, 3).await;
        if fits {
            assert!(third.status.is_success(), "{}", third.text());
        } else {
            let problem = third.expect_problem(409, "conflict");
            assert!(problem.text().contains(what), "{}", problem.text());
        }
        assert_eq!(count(app, &tenant, what).await, if fits { 3 } else { 2 });
        // A tenant above a lowered limit keeps its objects, and only adding is rejected.
        tenant.limit(&json!({ what: 1 })).await;
        make(&tenant, 4).await.expect_problem(409, "conflict");
        assert_eq!(count(app, &tenant, what).await, if fits { 3 } else { 2 });
    }
}

fn named(plugin: &str, comment: &str) -> Vec<u8> {
    let manifest = format!("# {comment}\n[plugin]\nname = '{plugin}'\nversion = '1'\n");
    bundled(ECHO, &manifest, &[])
}

#[tokio::test]
pub async fn plugins() {
    let app = App::start().await;
    three(&app, "plugins", async |tenant, number| {
        let plugin = format!("echo-{number}");
        tenant.upload(&plugin, named(&plugin, "")).await
    })
    .await;
    // An existing plugin may get further versions.
    let tenant = app.tenant("full").await;
    tenant.upload("echo", named("echo", "first")).await.expect(201);
    tenant.limit(&json!({ "plugins": 1 })).await;
    tenant.upload("echo", named("echo", "second")).await.expect(201);
    let other = tenant.upload("other", named("other", "")).await;
    other.expect_problem(409, "conflict");
    let delete = async |query: &str| {
        let path = tenant.path(&format!("/plugins/echo{query}"));
        app.admin("DELETE", &path).send().await.expect(204);
    };
    delete("").await;
    let other = tenant.upload("other", named("other", "")).await;
    other.expect_problem(409, "conflict");
    delete("?purge=true").await;
    tenant.upload("other", named("other", "")).await.expect(201);
}

async fn make(app: &App, tenant: &TestTenant<'_>, what: &str, body: Value) -> Reply {
    app.admin("POST", &tenant.path(what)).json(&body).send().await
}

#[tokio::test]
pub async fn api_keys() {
    let app = App::start().await;
    let new =
        async |tenant: &TestTenant<'_>, _| make(&app, tenant, "/api-keys", json!({ "name": "x" })).await;
    three(&app, "api_keys", new).await;
    let tenant = app.tenant("full").await;
    let (id, _) = tenant.key_from(&json!({ "name": "x" })).await;
    tenant.limit(&json!({ "api_keys": 1 })).await;
    new(&tenant, 0).await.expect_problem(409, "conflict");
    // A revoked key does not count.
    let path = tenant.path(&format!("/api-keys/{id}"));
    app.admin("DELETE", &path).send().await.expect(204);
    new(&tenant, 0).await.expect(201);
}

#[tokio::test]
pub async fn tokens() {
    let app = App::start().await;
    let new = async |tenant: &TestTenant<'_>, number: u64| {
        let role = match number {
            1 => "viewer",
            2 => "developer",
            _ => "owner",
        };
        make(&app, tenant, "/tokens", json!({ "name": "x", "role": role })).await
    };
    three(&app, "tokens", new).await;
    // Tokens of operators do not count for a tenant.
    let tenant = app.tenant("full").await;
    new(&tenant, 0).await.expect(201);
    tenant.limit(&json!({ "tokens": 1 })).await;
    new(&tenant, 0).await.expect_problem(409, "conflict");
    let operators = app.admin("POST", "/tokens").json(&json!({ "name": "x" }));
    operators.send().await.expect(201);
}

#[tokio::test]
pub async fn secrets() {
    let app = App::start().await;
    let put = async |tenant: &TestTenant<'_>, number: u64| {
        let path = tenant.path(&format!("/secrets/s{number}"));
        app.admin("PUT", &path)
            .json(&json!({ "value": "x" }))
            .send()
            .await
    };
    three(&app, "secrets", put).await;
    // An existing one can be replaced.
    let tenant = app.tenant("full").await;
    put(&tenant, 1).await.expect(204);
    tenant.limit(&json!({ "secrets": 1 })).await;
    put(&tenant, 1).await.expect(204);
    put(&tenant, 2).await.expect_problem(409, "conflict");
}

#[tokio::test]
pub async fn suppressions() {
    let app = App::start().await;
    let add = async |tenant: &TestTenant<'_>, number: u64| {
        let address = format!("person-{number}@example.com");
        make(&app, tenant, "/mail/suppressions", json!({ "address": address })).await
    };
    three(&app, "suppressions", add).await;
    // An address that is on the list may be added again, and a removed one gives room.
    let tenant = app.tenant("full").await;
    add(&tenant, 1).await.expect(201);
    tenant.limit(&json!({ "suppressions": 1 })).await;
    add(&tenant, 1).await.expect(200);
    add(&tenant, 2).await.expect_problem(409, "conflict");
    let path = tenant.path("/mail/suppressions/person-1@example.com");
    app.admin("DELETE", &path).send().await.expect(204);
    add(&tenant, 2).await.expect(201);
}

#[tokio::test]
pub async fn config_entries() {
    let app = App::start().await;
    let put = async |tenant: &TestTenant<'_>, plugin: &str, count: u64| {
        let config: serde_json::Map<String, Value> = (0..count)
            .map(|number| (format!("k{number}"), json!("v")))
            .collect();
        let path = tenant.path(&format!("/plugins/{plugin}/config"));
        app.admin("PUT", &path).json(&config.into()).send().await
    };
    three(&app, "config_entries", async |tenant, number| {
        if number == 1 {
            tenant.upload("echo", named("echo", "")).await.expect(201);
        }
        put(tenant, "echo", number).await
    })
    .await;
    // The settings of all plugins count together, and a reduction is always allowed.
    let tenant = app.tenant("full").await;
    for plugin in ["one", "two"] {
        tenant.upload(plugin, named(plugin, "")).await.expect(201);
        put(&tenant, plugin, 2).await.expect(200);
    }
    tenant.limit(&json!({ "config_entries": 3 })).await;
    put(&tenant, "one", 3).await.expect_problem(409, "conflict");
    put(&tenant, "one", 2).await.expect(200);
    put(&tenant, "one", 1).await.expect(200);
    put(&tenant, "two", 3).await.expect_problem(409, "conflict");
}

#[tokio::test]
pub async fn webhook_endpoints() {
    let app = App::start().await;
    let new = async |tenant: &TestTenant<'_>, _| {
        let body = json!({ "url": "https://hooks.example.com/", "topics": [">"] });
        make(&app, tenant, "/webhooks/endpoints", body).await
    };
    three(&app, "webhook_endpoints", new).await;
}
