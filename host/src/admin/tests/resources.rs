//! Tests of the resources of the admin API.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{Answer, TestApp};
use crate::domain::clock::Timestamp;
use crate::domain::limits::Limits;
use crate::domain::log_line::Level;
use crate::domain::problem::Code;
use crate::domain::token::{Reach, TenantRole};
use crate::storage::conformance::{UNTOLD, change, entry, plugin, tenant, version_of};
use crate::storage::vault::{HostKey, Vault};

#[tokio::test]
async fn an_operator_makes_changes_and_deletes_tenants() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let made = app
        .call(
            &operator,
            "POST",
            "/api/v1/tenants",
            Some(json!({"name": "acme"})),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let mut shown = made.body.clone();
    let id = shown["id"].take();
    let stored = app.db.tenant_by_name(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(id, stored.unwrap().id.to_string());
    insta::assert_snapshot!(shown, @r#"{"created_at":"2023-11-14T22:13:20.000Z","id":null,"limits":{},"name":"acme","plan":"standard","suspended":false}"#);

    let again = app
        .call(
            &operator,
            "POST",
            "/api/v1/tenants",
            Some(json!({"name": "acme"})),
        )
        .await;
    insta::assert_snapshot!(again.problem(), @"409 conflict: this tenant name is taken");
    let patch = json!({"suspended": true, "limits": {"memory": "32MiB"}});
    let changed = app
        .call(&operator, "PATCH", "/api/v1/tenants/acme", Some(patch))
        .await;
    assert_eq!(changed.body["suspended"], true);
    assert_eq!(changed.body["limits"]["memory"], "32MiB");
    let no_plan = app
        .call(
            &operator,
            "PATCH",
            "/api/v1/tenants/acme",
            Some(json!({"plan": "gold"})),
        )
        .await;
    insta::assert_snapshot!(no_plan.problem(), @"400 invalid-request: plan: there is no plan `gold`");
    let gone = app.call(&operator, "DELETE", "/api/v1/tenants/acme", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let gone = app.get(&operator, "/api/v1/tenants/acme").await;
    insta::assert_snapshot!(gone.problem(), @"404 not-found: there is no such tenant");
}

#[tokio::test]
async fn what_is_deleted_is_gone_reserved_and_restored_until_it_is_purged() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let acme = tenant(&*app.db, "acme").await;
    plugin(&*app.db, acme.id, "orders").await;
    let owner = app.owner(acme.id).await;
    let call = async |method: &str, path: &str| app.call(&operator, method, path, None).await;
    let (path, restore) = ("/api/v1/tenants/acme", "/api/v1/tenants/acme/restore");
    assert_eq!(call("DELETE", path).await.status, StatusCode::NO_CONTENT);
    for (method, path) in [
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("GET", "/api/v1/tenants/acme/plugins"),
    ] {
        let gone = app.call(&operator, method, path, Some(json!({}))).await;
        assert_eq!(
            gone.problem(),
            "404 not-found: there is no such tenant",
            "{method} {path}"
        );
    }
    assert_eq!(
        app.get(&owner, "/api/v1/whoami").await.status,
        StatusCode::UNAUTHORIZED
    );
    let new = Some(json!({"name": "acme"}));
    let reserved = app.call(&operator, "POST", "/api/v1/tenants", new.clone()).await;
    insta::assert_snapshot!(reserved.problem(), @"409 conflict: this tenant name is reserved: it was deleted and can still be restored; restore it, or purge it (`DELETE …?purge=true`)");
    assert_eq!(call("GET", "/api/v1/tenants").await.body["items"], json!([]));
    let deleted = call("GET", "/api/v1/tenants?deleted=true").await;
    assert_eq!(deleted.body["items"][0]["name"], "acme");
    assert_eq!(deleted.body["items"][0]["deleted_at"], "2023-11-14T22:13:20.000Z");

    let restored = call("POST", restore).await;
    assert_eq!(
        (restored.status, restored.body.get("deleted_at")),
        (StatusCode::OK, None)
    );
    assert_eq!(app.get(&owner, "/api/v1/whoami").await.status, StatusCode::OK);
    let plugin = "/api/v1/tenants/acme/plugins/orders";
    assert_eq!(
        app.call(&owner, "DELETE", plugin, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(app.get(&owner, plugin).await.status, StatusCode::NOT_FOUND);
    let deleted = app.get(&owner, "/api/v1/tenants/acme/plugins?deleted=true").await;
    assert_eq!(deleted.body["items"][0]["name"], "orders");
    let restored = app.call(&owner, "POST", &format!("{plugin}/restore"), None).await;
    assert_eq!(restored.body["name"], "orders");
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let purged = app
            .call(&owner, "DELETE", &format!("{plugin}?purge=true"), None)
            .await;
        assert_eq!(purged.status, status);
        let restored = app.call(&owner, "POST", &format!("{plugin}/restore"), None).await;
        assert_eq!(restored.status, StatusCode::NOT_FOUND);
    }

    // Deleting a deleted plugin succeeds.
    assert_eq!(call("DELETE", path).await.status, StatusCode::NO_CONTENT);
    let purge = "/api/v1/tenants/acme?purge=true";
    assert_eq!(call("DELETE", purge).await.status, StatusCode::NO_CONTENT);
    assert_eq!(call("DELETE", purge).await.status, StatusCode::NOT_FOUND);
    assert_eq!(call("POST", restore).await.status, StatusCode::NOT_FOUND);
    let again = app.call(&operator, "POST", "/api/v1/tenants", new).await;
    assert_eq!(again.status, StatusCode::CREATED);
    let audit = app
        .db
        .audit(
            Some(acme.id),
            &Default::default(),
            crate::storage::Page::first(20),
        )
        .await
        .unwrap();
    let actions: Vec<&str> = audit
        .iter()
        .map(|entry| entry.change.action.as_str())
        .filter(|action| *action != UNTOLD)
        .collect();
    assert_eq!(
        actions,
        [
            "tenant.purge",
            "tenant.delete",
            "plugin.purge",
            "plugin.restore",
            "plugin.delete",
            "tenant.restore",
            "tenant.delete"
        ]
    );
}

#[tokio::test]
async fn plans_are_kept_while_a_tenant_is_on_them() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let put = app
        .call(
            &operator,
            "PUT",
            "/api/v1/plans/gold",
            Some(json!({"concurrency": 64})),
        )
        .await;
    assert_eq!(put.body, json!({"name": "gold", "limits": {"concurrency": 64}}));
    let new = json!({"name": "acme", "plan": "gold"});
    app.call(&operator, "POST", "/api/v1/tenants", Some(new)).await;
    let kept = app.call(&operator, "DELETE", "/api/v1/plans/gold", None).await;
    insta::assert_snapshot!(kept.problem(), @"409 conflict: this plan is in use");
    let hint = kept.body["hint"].as_str().unwrap();
    assert!(hint.contains("mortise tenants set-plan NAME PLAN"), "{hint}");
    let list = app.get(&operator, "/api/v1/plans").await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_default_plan_stays_and_a_plan_that_is_not_there_has_a_hint() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        app.call(&operator, method, &format!("/api/v1{path}"), body).await
    };
    // No tenant is on it.
    let kept = call("DELETE", "/plans/standard", None).await;
    assert_eq!(
        kept.problem(),
        "409 conflict: `standard` is the plan of tenants that are created without one, and cannot be deleted"
    );
    let empty = call("PUT", "/plans/gold", Some(json!({}))).await;
    assert_eq!(empty.body, json!({ "name": "gold", "limits": {} }));
    let made = call("POST", "/tenants", Some(json!({ "name": "acme" }))).await;
    assert_eq!(
        (made.status, &made.body["plan"]),
        (StatusCode::CREATED, &json!("standard"))
    );
    for (method, path, body) in [
        ("POST", "/tenants", json!({ "name": "other", "plan": "nope" })),
        ("PATCH", "/tenants/acme", json!({ "plan": "nope" })),
    ] {
        let answer = call(method, path, Some(body)).await;
        assert_eq!(
            answer.problem(),
            "400 invalid-request: plan: there is no plan `nope`"
        );
        let hint = answer.body["hint"].as_str().unwrap();
        assert!(
            hint.contains("mortise plans list") && hint.contains("mortise plans set"),
            "{hint}"
        );
    }
}

#[tokio::test]
async fn bad_input_is_named_with_its_place() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let acme = tenant(&*app.db, "acme").await;
    plugin(&*app.db, acme.id, "orders").await;
    let mut answers = Vec::new();
    for (method, path, body) in [
        ("POST", "/api/v1/tenants", json!({"name": "Acme!"})),
        ("POST", "/api/v1/tenants", json!({"name": "a", "colour": "red"})),
        (
            "POST",
            "/api/v1/tenants",
            json!({"name": "a", "limits": {"memory": 7}}),
        ),
        ("PUT", "/api/v1/plans/Gold", json!({})),
        ("POST", "/api/v1/tenants/acme/api-keys", json!({"name": ""})),
        (
            "POST",
            "/api/v1/tenants/acme/api-keys",
            json!({"name": "a", "scopes": vec!["x"; 51]}),
        ),
        (
            "POST",
            "/api/v1/tenants/acme/api-keys",
            json!({"name": "a", "scopes": ["a b"]}),
        ),
        (
            "POST",
            "/api/v1/tenants/acme/api-keys",
            json!({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}),
        ),
        (
            "POST",
            "/api/v1/tenants/acme/tokens",
            json!({"name": "a", "role": "operator"}),
        ),
        ("PUT", "/api/v1/tenants/acme/secrets/a%2Fb", json!({"value": "x"})),
        ("PUT", "/api/v1/tenants/acme/secrets/k", json!({"value": ""})),
        (
            "PUT",
            "/api/v1/tenants/acme/plugins/orders/config",
            json!({"a": "x".repeat(64 * 1024)}),
        ),
        (
            "PUT",
            "/api/v1/tenants/acme/plugins/orders/config",
            json!({"a": "x".repeat(256 * 1024)}),
        ),
        (
            "PUT",
            "/api/v1/tenants/acme/plugins/orders/grants",
            json!({"http": ["ftp://a.example"]}),
        ),
        (
            "PUT",
            "/api/v1/tenants/acme/plugins/orders/activation",
            json!({"version": "1.0"}),
        ),
        ("GET", "/api/v1/tenants?limit=201", Value::Null),
        ("GET", "/api/v1/tenants?limit=NaN", Value::Null),
        ("GET", "/api/v1/tenants?cursor=x", Value::Null),
        ("GET", "/api/v1/tenants?page=2", Value::Null),
        (
            "GET",
            "/api/v1/tenants/acme/usage?from=2024-01-01T00:00:00Z",
            Value::Null,
        ),
        ("DELETE", "/api/v1/tenants/acme/api-keys/7", Value::Null),
        ("PUT", "/api/v1/tenants", Value::Null),
        ("GET", "/api/v1/nothing", Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        answers.push(app.call(&operator, method, path, body).await.problem());
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    400 invalid-request: name: `Acme!` is not a tenant name (1 to 63 of a-z, 0-9 and `-`, starting with a letter)
    400 invalid-request: colour: unknown field `colour`, expected one of `name`, `plan`, `limits`
    400 invalid-request: limits.memory: invalid type: integer `7`, expected a string
    404 not-found: there is no such plan
    400 invalid-request: name: 1 to 100 characters are needed, and no control characters
    400 invalid-request: scopes: at most 50 are allowed
    400 invalid-request: scopes[0]: 1 to 100 visible ASCII characters without spaces are needed
    400 invalid-request: expires_at: 2020-01-01T00:00:00.000Z is not in the future
    400 invalid-request: role: `operator` is not a role of a tenant; use viewer, developer or owner. Tokens for the whole host are made without a tenant (`POST /api/v1/tokens`, or `mortise tokens create NAME --operator`)
    404 not-found: there is no such secret
    400 invalid-request: value: 1 to 65536 bytes are needed
    400 invalid-request: the settings have 65537 bytes together; at most 65536 are allowed
    413 body-too-large: the body has more than 256KiB
    400 invalid-request: http[0]: `ftp://a.example/` has a scheme other than `http` and `https`
    404 not-found: no version is named `1.0`; the newest are sha256:92521fc3cbd964bdc9f584a991b89fddaa5754ed1cc96d6d42445338669c1305 (1.0.0, uploaded 1970-01-01T00:00:02.000Z)
    400 invalid-request: limit: 1 to 200 items make a page
    400 invalid-request: limit: `NaN` is not a number; 1 to 200 items make a page
    400 invalid-request: cursor: this is not a cursor of this list; pass `next` of the previous page
    400 invalid-request: page: unknown field `page`, expected one of `deleted`, `cursor`, `limit`
    400 invalid-request: from: it must lie before `to`
    404 not-found: there is no such API key
    405 method-not-allowed: this address has other methods; see `Allow`
    404 not-found: there is no such address in the admin API
    "#);
    let request = Request::post("/api/v1/tenants").header("authorization", format!("Bearer {operator}"));
    let answer = Answer::of(app.send(request.body(Body::from("name=a")).unwrap()).await).await;
    insta::assert_snapshot!(answer.problem(), @"415 unsupported-media-type: the body must be JSON: `Content-Type: application/json`");
    let request = Request::post("/api/v1/tenants")
        .header("authorization", format!("Bearer {operator}"))
        .header("content-type", "application/json");
    let answer = Answer::of(app.send(request.body(Body::from("{\"name\"")).unwrap()).await).await;
    insta::assert_snapshot!(answer.problem(), @"400 invalid-request: the body is not JSON: EOF while parsing an object at line 1 column 7");
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_marked_until_it_is_set_again() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let acme = tenant(&*app.db, "acme").await;
    let owner = app.owner(acme.id).await;
    let lost = Vault::new(&HostKey::from_hex(&"cd".repeat(32)).unwrap());
    let sealed = lost.seal(acme.id, "old", &"hunter2".into()).unwrap();
    app.db
        .put_secret(acme.id, "old", &sealed, &change(1))
        .await
        .unwrap();
    let put = async |name: &str| {
        let path = format!("/api/v1/tenants/acme/secrets/{name}");
        let answer = app
            .call(&owner, "PUT", &path, Some(json!({ "value": "hunter2" })))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    };
    let listed = async || {
        let list = app.get(&owner, "/api/v1/tenants/acme/secrets").await;
        let items = list.body["items"].as_array().unwrap().iter();
        let readable: Vec<Value> = items
            .map(|secret| json!([secret["name"], secret["readable"]]))
            .collect();
        let node = app.get(&operator, "/api/v1/node").await;
        (readable, node.body["unreadable_secrets"].clone())
    };
    put("new").await;
    assert_eq!(
        listed().await,
        (
            vec![json!(["new", true]), json!(["old", false])],
            json!([{ "tenant": "acme", "name": "old" }])
        )
    );
    put("old").await;
    assert_eq!(
        listed().await,
        (vec![json!(["new", true]), json!(["old", true])], json!([]))
    );
}

#[tokio::test]
async fn an_upload_is_refused_for_its_type_and_its_size_before_it_is_read() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let upload = |content_type: &str, body: Body| {
        Request::post("/api/v1/tenants/acme/plugins/orders/versions")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", content_type)
            .body(body)
            .unwrap()
    };
    let answer = Answer::of(app.send(upload("application/zip", Body::empty())).await).await;
    insta::assert_snapshot!(answer.problem(), @"415 unsupported-media-type: the body must be a component: `Content-Type: application/wasm`");

    // The request has no length that could be checked in advance.
    let piece = bytes::Bytes::from(vec![0; 1024 * 1024]);
    let endless = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
    let answer = Answer::of(
        app.send(upload("application/wasm", Body::from_stream(endless)))
            .await,
    )
    .await;
    insta::assert_snapshot!(answer.problem(), @"413 body-too-large: the body has more than 32MiB");
    assert!(answer.body["hint"].as_str().unwrap().contains("`component_size`"));
    let mut announced = upload("application/wasm", Body::empty());
    announced
        .headers_mut()
        .insert("content-length", "99999999999".parse().unwrap());
    assert_eq!(app.send(announced).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn versions_and_activations_are_read_back() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let (orders, first) = plugin(&*app.db, acme.id, "orders").await;
    let second = version_of("orders", "2.0.0", 3_000);
    app.db
        .add_version(acme.id, &orders, &second, &change(2_000))
        .await
        .unwrap();
    app.db
        .activate(acme.id, &orders, first.digest, None, &change(9))
        .await
        .unwrap();

    let base = "/api/v1/tenants/acme/plugins/orders";
    let page = app.get(&token, &format!("{base}/versions?limit=1")).await;
    assert_eq!(page.body["items"][0]["version"], second.digest.to_string());
    assert_eq!(page.body["items"][0]["active"], false);
    let next = page.body["next"].as_str().unwrap();
    let page = app
        .get(&token, &format!("{base}/versions?limit=1&cursor={next}"))
        .await;
    assert_eq!(page.body["items"][0]["version"], first.digest.to_string());
    assert_eq!(page.body["items"][0]["active"], true);
    assert_eq!(page.body.get("next"), None);
    let one = app
        .get(&token, &format!("{base}/versions/{}", first.digest))
        .await;
    assert_eq!(one.body["manifest"], first.manifest_text);
    assert_eq!(app.get(&token, base).await.body["author_version"], "1.0.0");
    let list = app.get(&token, "/api/v1/tenants/acme/plugins").await;
    assert_eq!(list.body["items"][0]["author_version"], "1.0.0");
    let activation = app.get(&token, &format!("{base}/activation")).await;
    assert_eq!(activation.body["version"], first.digest.to_string());
    assert_eq!(activation.body["actor"], "host");
    let list = app.get(&token, &format!("{base}/activations")).await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    let disabled = app
        .call(&token, "PATCH", base, Some(json!({"disabled": true})))
        .await;
    assert_eq!(disabled.body["disabled"], true);
}

#[tokio::test]
async fn grants_show_what_is_missing() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let mut version = version_of("orders", "1.0.0", 1);
    version.manifest_text += "[database]\n[secrets]\nuse = ['stripe_key']\n";
    app.db
        .add_version(acme.id, &"orders".parse().unwrap(), &version, &change(2_000))
        .await
        .unwrap();
    let path = "/api/v1/tenants/acme/plugins/orders/grants";
    let before = app.get(&token, path).await;
    assert_eq!(
        before.body["missing"],
        json!([{"kind": "database"}, {"kind": "secret-use", "name": "stripe_key"}])
    );
    let grants = json!({"database": true, "http": ["https://API.example.com"]});
    let put = app.call(&token, "PUT", path, Some(grants)).await;
    assert_eq!(put.body["grants"]["http"], json!(["https://api.example.com"]));
    assert_eq!(put.body["missing"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn grants_of_secrets_hold_their_origins() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let mut version = version_of("orders", "1.0.0", 1);
    version.manifest_text += "[http]\nallow = ['https://a.example', 'https://b.example']\n\
         [secrets]\nuse = [{ name = 'key', origins = ['https://a.example'] }]\n";
    app.db
        .add_version(acme.id, &"orders".parse().unwrap(), &version, &change(2_000))
        .await
        .unwrap();
    let path = "/api/v1/tenants/acme/plugins/orders/grants";
    let put = async |usable: serde_json::Value| {
        let grants = json!({
            "http": ["https://a.example", "https://b.example"],
            "secrets": { "use": usable },
        });
        app.call(&token, "PUT", path, Some(grants)).await
    };
    let missing = json!({ "kind": "secret-origin", "name": "key", "origin": "https://a.example" });
    let elsewhere = json!([{ "name": "key", "origins": ["https://B.example:443"] }]);
    let answer = put(elsewhere).await;
    assert_eq!(
        answer.body["grants"]["secrets"]["use"],
        json!([{ "name": "key", "origins": ["https://b.example"] }])
    );
    assert_eq!(answer.body["missing"], json!([missing]));
    assert_eq!(
        put(json!([])).await.body["missing"],
        json!([{ "kind": "secret-use", "name": "key" }, missing])
    );
    let own = json!([{ "name": "key", "origins": ["https://a.example"] }]);
    assert_eq!(put(own.clone()).await.body["missing"], json!([]));
    assert_eq!(app.get(&token, path).await.body["grants"]["secrets"]["use"], own);

    let many = |count: u32| {
        let origins: Vec<String> = (0..count)
            .map(|number| format!("https://{number}.example"))
            .collect();
        json!([{ "name": "key", "origins": origins }])
    };
    assert_eq!(put(many(100)).await.status, 200);
    assert_eq!(put(many(101)).await.status, 400);
    assert_eq!(put(json!([{ "name": "key" }])).await.status, 400);
}

#[tokio::test]
async fn secrets_are_written_and_never_read() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let path = "/api/v1/tenants/acme/secrets/stripe_key";
    let put = app
        .call(&token, "PUT", path, Some(json!({"value": "hunter2"})))
        .await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    let list = app.get(&token, "/api/v1/tenants/acme/secrets").await;
    insta::assert_snapshot!(list.body, @r#"{"items":[{"name":"stripe_key","readable":true,"updated_at":"2023-11-14T22:13:20.000Z"}]}"#);
    assert_eq!(app.get(&token, path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let sealed = app.db.sealed_secrets(acme.id).await.unwrap();
    assert!(
        !sealed["stripe_key"]
            .as_bytes()
            .windows(7)
            .any(|w| w == b"hunter2")
    );
    let audit = app.get(&token, "/api/v1/tenants/acme/audit").await;
    assert_eq!(audit.body["items"][0]["action"], "secret.put");
    assert!(!audit.body.to_string().contains("hunter2"));
    assert_eq!(
        app.call(&token, "DELETE", path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        app.call(&token, "DELETE", path, None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_credential_is_shown_once() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.owner(acme.id).await;
    let new = json!({"name": "shop", "scopes": ["orders:write"]});
    let made = app
        .call(&token, "POST", "/api/v1/tenants/acme/api-keys", Some(new))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let credential = made.body["credential"].as_str().unwrap();
    assert!(credential.starts_with("mk_"));
    let list = app.get(&token, "/api/v1/tenants/acme/api-keys").await;
    assert_eq!(list.body["items"][0]["id"], made.body["id"]);
    assert_eq!(list.body["items"][0].get("credential"), None);
    let id = made.body["id"].as_str().unwrap();
    let revoked = app
        .call(
            &token,
            "DELETE",
            &format!("/api/v1/tenants/acme/api-keys/{id}"),
            None,
        )
        .await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    let valid = app.db.valid_api_keys(acme.id, Timestamp(0)).await.unwrap();
    assert!(valid.is_empty());
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_or_expires() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let owner = app.owner(acme.id).await;
    let new = json!({"name": "ci", "role": "developer", "expires_at": "2023-11-14T22:13:30Z"});
    let made = app
        .call(&owner, "POST", "/api/v1/tenants/acme/tokens", Some(new.clone()))
        .await;
    let token = made.body["credential"].as_str().unwrap().to_owned();
    let who = app.get(&token, "/api/v1/whoami").await;
    assert_eq!(who.body["role"], "developer");
    assert_eq!(who.body["tenant"], "acme");
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/api/v1/tenants/acme/tokens/{id}");
    assert_eq!(
        app.call(&owner, "DELETE", &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        app.get(&token, "/api/v1/whoami").await.status,
        StatusCode::UNAUTHORIZED
    );

    let made = app
        .call(&owner, "POST", "/api/v1/tenants/acme/tokens", Some(new))
        .await;
    let token = made.body["credential"].as_str().unwrap().to_owned();
    assert_eq!(app.get(&token, "/api/v1/whoami").await.status, StatusCode::OK);
    app.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(
        app.get(&token, "/api/v1/whoami").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn invocations_logs_and_usage_are_read_back() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let token = app.token(Reach::Tenant(acme.id, TenantRole::Viewer)).await;
    let now = 1_700_000_000_000;
    let good = entry(acme.id, "orders", now - 1_000, &[Level::Info]);
    let mut bad = entry(acme.id, "orders", now - 500, &[Level::Error]);
    bad.record.code = Some(Code::PluginTrapped.as_str().into());
    app.ledger.record(good, &Limits::default());
    app.ledger.record(bad.clone(), &Limits::default());
    app.ledger.flush().await;

    let base = "/api/v1/tenants/acme";
    let all = app.get(&token, &format!("{base}/invocations")).await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), 2);
    let failed = app.get(&token, &format!("{base}/invocations?failed=true")).await;
    assert_eq!(failed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(failed.body["items"][0]["code"], "plugin-trapped");
    let caller = bad.record.principal.unwrap();
    for (filter, count) in [
        ("route=/orders/%7Bid%7D&status=2xx", 2),
        ("status=404", 0),
        ("status=200&until=2023-11-14T22:13:19.500Z", 1),
        (format!("principal={caller}&plugin=orders").as_str(), 1),
    ] {
        let found = app.get(&token, &format!("{base}/invocations?{filter}")).await;
        assert_eq!(found.body["items"].as_array().unwrap().len(), count, "{filter}");
    }
    let wrong = app.get(&token, &format!("{base}/invocations?status=4x")).await;
    assert_eq!(
        wrong.problem(),
        "400 invalid-request: status: `4x` is neither a status such as 404 nor a class of them such as 4xx"
    );
    let wrong = app.get(&token, &format!("{base}/invocations?status=0200")).await;
    assert!(
        wrong
            .problem()
            .starts_with("400 invalid-request: status: `0200` is neither"),
        "{}",
        wrong.problem()
    );
    for filter in ["route=%FF", "failed=true&route=/a%C3", "%FF=1"] {
        let wrong = app.get(&token, &format!("{base}/invocations?{filter}")).await;
        let problem = wrong.problem();
        assert!(
            problem.starts_with("400 invalid-request: "),
            "{filter}: {problem}"
        );
        assert!(
            problem.ends_with(": an escape is not UTF-8"),
            "{filter}: {problem}"
        );
    }
    let wrong = app
        .get(&token, &format!("{base}/invocations?principal=ada"))
        .await;
    assert_eq!(
        wrong.problem(),
        "400 invalid-request: principal: `ada` is not the kind and the id of a principal; write `api-key:ID`, with an \
         id of `mortise keys list`"
    );
    for (filter, wanted) in [
        (
            "since=1h",
            "400 invalid-request: since: it is no time; write it with a time zone, such as 2026-01-02T03:04:05Z",
        ),
        (
            "since=2024-01-01T00:00:00Z&until=2024-01-01T00:00:00Z",
            "400 invalid-request: since: it must lie before `until`",
        ),
        ("plugin=nope", "404 not-found: there is no such plugin"),
        (
            "plugin=nope&function=a.b",
            "404 not-found: there is no such plugin",
        ),
    ] {
        let wrong = app.get(&token, &format!("{base}/invocations?{filter}")).await;
        assert_eq!(wrong.problem(), wanted, "{filter}");
    }
    let one = app
        .get(&token, &format!("{base}/invocations/{}", bad.record.id))
        .await;
    assert_eq!(one.body["usage"]["cpu_us"], 10);
    let lines = app.get(&token, &format!("{base}/logs?level=warn")).await;
    assert_eq!(lines.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(lines.body["items"][0]["level"], "error");
    let usage = app.get(&token, &format!("{base}/usage")).await;
    assert_eq!(usage.body["plugins"][0]["invocations"], 2);
    assert_eq!(usage.body["plugins"][0]["failures"], 1);
    assert_eq!(usage.body["to"], "2023-11-14T23:00:00.000Z");
}

#[tokio::test]
async fn calls_are_listed_by_day_route_and_caller() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    plugin(&*app.db, acme.id, "orders").await;
    let token = app.token(Reach::Tenant(acme.id, TenantRole::Viewer)).await;
    let now = 1_700_000_000_000;
    let good = entry(acme.id, "orders", now - 1_000, &[]);
    let mut bad = entry(acme.id, "orders", now - 500, &[]);
    bad.record.code = Some(Code::PluginTrapped.into());
    let caller = bad.record.principal.unwrap().to_string();
    app.ledger.record(good, &Limits::default());
    app.ledger.record(bad, &Limits::default());
    app.ledger.flush().await;

    let calls = "/api/v1/tenants/acme/plugins/orders/calls";
    let found = app
        .get(
            &token,
            &format!("{calls}?route=/orders/%7Bid%7D&to=2023-11-15T00:00:00Z"),
        )
        .await;
    let items = found.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let of_bad = items.iter().find(|calls| calls["caller"] == caller).unwrap();
    let wanted = json!({
        "day": "2023-11-14T00:00:00.000Z", "method": "GET", "route": "/orders/{id}", "caller": caller,
        "invocations": 1, "failures": 1,
    });
    assert_eq!(*of_bad, wanted);

    let page = format!("{calls}?to=2023-11-15T00:00:00Z&limit=1");
    let first = app.get(&token, &page).await;
    let next = first.body["next"].as_str().unwrap();
    let second = app.get(&token, &format!("{page}&cursor={next}")).await;
    assert_eq!(second.body["items"].as_array().unwrap().len(), 1);
    assert_ne!(first.body["items"], second.body["items"]);
    assert!(second.body["next"].is_null());

    for none in [
        "route=/nothing",
        "from=2023-11-15T00:00:00Z&to=2023-11-16T00:00:00Z",
    ] {
        let found = app.get(&token, &format!("{calls}?{none}")).await;
        assert_eq!(found.body["items"], json!([]), "{none}");
    }
    let absent = app.get(&token, "/api/v1/tenants/acme/plugins/ordres/calls").await;
    assert_eq!(absent.status, 404);
    let wrong = app
        .get(
            &token,
            &format!("{calls}?from=2023-11-15T00:00:00Z&to=2023-11-14T00:00:00Z"),
        )
        .await;
    assert_eq!(
        wrong.problem(),
        "400 invalid-request: from: it must lie before `to`"
    );
}

#[tokio::test]
async fn the_host_says_how_it_is() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    app.clock.advance(std::time::Duration::from_secs(5));
    let node = app.get(&operator, "/api/v1/node").await;
    assert_eq!(node.body["uptime_seconds"], 5);
    assert_eq!(app.get("", "/-/readyz").await.status, StatusCode::OK);
    app.draining.cancel();
    assert_eq!(app.get("", "/-/readyz").await.body["code"], "draining");
    assert_eq!(app.get("", "/-/healthz").await.status, StatusCode::OK);
    assert_eq!(app.get("", "/docs/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_change_is_audited_with_its_token() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    app.call(
        &operator,
        "POST",
        "/api/v1/tenants",
        Some(json!({"name": "acme"})),
    )
    .await;
    app.call(&operator, "PUT", "/api/v1/plans/gold", Some(json!({})))
        .await;
    let who = app.get(&operator, "/api/v1/whoami").await;
    let host = app.get(&operator, "/api/v1/audit").await;
    assert_eq!(host.body["items"][0]["action"], "plan.put");
    assert_eq!(host.body["items"][0]["actor"], who.body["id"]);
    let audit = app.get(&operator, "/api/v1/tenants/acme/audit").await;
    assert_eq!(audit.body["items"][0]["action"], "tenant.create");
    // The third entry is that of the operator's token.
    assert_eq!(host.body["items"].as_array().unwrap().len(), 3);
}
