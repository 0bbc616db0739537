//! Tests of credentials and scopes, which must not reach the plugin.

use std::time::Duration;

use mortise::domain::clock::Timestamp;
use serde_json::{Value, json};
use test_artifacts::ECHO;

use super::{LINE, MANIFEST};
use crate::app::{App, START};

#[tokio::test]
async fn only_a_valid_key_of_the_tenant_opens_a_route() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let other = app.tenant("other").await;
    let key = acme.key(&[]).await;
    let foreign = other.key(&["*"]).await;
    let mut forged = key.clone();
    let last = if forged.pop() == Some('0') { '1' } else { '0' };
    forged.push(last);

    let mine = || app.get("/acme/echo/mine");
    mine().bearer(&key).send().await.expect(200);
    mine()
        .header("authorization", &format!("bearer {key}"))
        .send()
        .await
        .expect(200);
    mine().header("x-api-key", &key).send().await.expect(200);
    // An empty header is not a credential.
    for empty in ["", " "] {
        let call = mine().header("x-api-key", empty).bearer(&key);
        call.send().await.expect(200);
    }
    for call in [
        mine(),
        mine().bearer(""),
        mine().bearer("nonsense"),
        mine().bearer(&forged),
        mine().bearer(&foreign),
        mine().header("x-api-key", &foreign),
        mine().header("authorization", &format!("Basic {key}")),
        mine().header("authorization", &key),
        mine().header("x-api-key", "nonsense").bearer(&key),
    ] {
        let reply = call.send().await.expect_problem(401, "unauthenticated");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    // A token of the admin API is not valid in the public API.
    let operator = std::fs::read_to_string(app.host.operator_token()).unwrap();
    mine()
        .bearer(&operator)
        .send()
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_revoked_or_expired_key_no_longer_works() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let mine = |key: &str| app.get("/acme/echo/mine").bearer(key).send();

    let (id, revoked) = acme.key_from(&json!({ "name": "revoked" })).await;
    mine(&revoked).await.expect(200);
    let path = acme.path(&format!("/api-keys/{id}"));
    app.admin("DELETE", &path).send().await.expect(204);
    mine(&revoked).await.expect_problem(401, "unauthenticated");

    let end = Timestamp(START.0 + 60_000).to_string();
    let (_, expiring) = acme
        .key_from(&json!({ "name": "expiring", "expires_at": end }))
        .await;
    app.advance(Duration::from_millis(59_999));
    mine(&expiring).await.expect(200);
    app.advance(Duration::from_millis(1));
    mine(&expiring).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_route_takes_all_its_scopes() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let scoped = |key: String| app.get("/acme/echo/scoped").bearer(&key).send();

    scoped(acme.key(&["orders:read", "orders:write"]).await)
        .await
        .expect(200);
    scoped(acme.key(&["*"]).await).await.expect(200);
    for (scopes, missing) in [
        (vec!["orders:read"], "orders:write"),
        (vec!["orders:*"], "orders:read, orders:write"),
        (vec!["ORDERS:READ", "orders:write"], "orders:read"),
        (vec![], "orders:read, orders:write"),
    ] {
        let reply = scoped(acme.key(&scopes).await).await;
        let reply = reply.expect_problem(403, "insufficient-scope").json();
        assert_eq!(reply["detail"], format!("the credential lacks {missing}"));
    }
}

#[tokio::test]
async fn credentials_stay_with_the_host() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let key = acme.key(&[]).await;
    for path in ["/acme/echo/mine", "/acme/echo/open/1"] {
        for call in [
            app.get(path).bearer(&key),
            app.get(path).header("x-api-key", &key),
            app.get(path).header("x-api-key", &key).bearer(&key),
        ] {
            let call = call.header("x-own", "kept").header("x-mortise-depth", "1");
            let reply = call.send().await.expect(200).json();
            assert_eq!(reply["headers"], json!([["x-own", "kept"]]), "{path}");
        }
    }
    // The plugin handles other authentication schemes.
    let call = app.get("/acme/echo/open/1").header("authorization", "Basic YTpi");
    let reply = call.send().await.expect(200).json();
    assert_eq!(reply["headers"], json!([["authorization", "Basic YTpi"]]));
}

#[tokio::test]
async fn the_record_names_the_caller_and_not_the_credential() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let (id, key) = acme.key_from(&json!({ "name": "test" })).await;
    let reply = app.get("/acme/echo/mine").bearer(&key).send().await.expect(200);
    let record = acme.invocation(&reply).await;
    assert_eq!(record["principal"], format!("api-key:{id}"));
    assert!(!record.to_string().contains(&key));

    let reply = app.get("/acme/echo/open/1").send().await.expect(200);
    assert_eq!(acme.invocation(&reply).await["principal"], Value::Null);
}
