//! From an address to a route, or to nothing.

use serde_json::Value;
use test_artifacts::ECHO;

use super::{LINE, MANIFEST};
use crate::app::App;

#[tokio::test]
async fn whatever_is_missing_answers_the_same() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    app.tenant("other").await;
    let mut bodies = Vec::new();
    for path in [
        "/nobody/echo/open/1",
        "/other/echo/open/1",
        "/acme/nothing/open/1",
        "/acme/echo/nowhere",
        "/acme/echo/open/1/",
        "/acme/echo/mine/",
        "/acme/echo",
        "/ACME/echo/open/1",
    ] {
        let reply = app.get(path).send().await.expect_problem(404, "not-found");
        let mut body = reply.json();
        assert_eq!(body["type"], "/-/problems/not-found");
        assert_ne!(body["request_id"], Value::Null);
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_path_has_its_methods_and_names_them() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    for (method, path, allow) in [
        ("DELETE", "/acme/echo/open/1", "GET, POST"),
        ("OPTIONS", "/acme/echo/open/1", "GET, POST"),
        ("GET", "/acme/echo/checked", "POST"),
    ] {
        let reply = app.call(method, path).send().await;
        let reply = reply.expect_problem(405, "method-not-allowed");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }

    let head = app.call("HEAD", "/acme/echo/checked").send().await.expect(405);
    assert_eq!((head.header("allow"), head.body.len()), ("POST", 0));

    let get = app.get("/acme/echo/open/1").send().await.expect(200);
    let head = app.call("HEAD", "/acme/echo/open/1").send().await.expect(200);
    assert_eq!(get.json()["method"], "GET");
    assert_eq!(head.body, b"");
    assert_eq!(head.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    for path in [
        "/acme//echo/open/1",
        "//acme/echo/open/1",
        "/acme/echo/open//1",
        "/acme/echo/open/../mine",
        "/acme/echo/open/%2e%2E/mine",
        "/acme/echo/open/.%2e",
        "/acme/echo/./open/1",
        "/acme/echo/open/a%2fb",
        "/acme/echo/open/a%5Cb",
        "/acme/echo/open/%00",
        "/acme/echo/open/%zz",
        "/acme/echo/open/%2",
        "/acme/echo/open/%ff",
        "/-/../acme/echo/open/1",
    ] {
        let reply = app.get(path).send().await;
        assert_eq!(reply.problem(), (400, "invalid-request".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_address_has_an_end() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    let prefix = "/acme/echo/open/";
    let fits = format!("{prefix}{}", "x".repeat(8 * 1024 - prefix.len()));
    app.get(&fits).send().await.expect(200);
    for long in [format!("{fits}x"), format!("{fits}?x")] {
        app.get(&long).send().await.expect_problem(414, "uri-too-long");
    }
}

#[tokio::test]
async fn what_the_host_serves_itself_is_no_tenant() {
    let app = App::start().await;
    assert_eq!(app.get("/-/healthz").send().await.expect(200).text(), "alive\n");
    assert_eq!(app.get("/-/readyz").send().await.expect(200).text(), "ready\n");
    app.host.start_draining();
    app.get("/-/healthz").send().await.expect(200);
    app.get("/-/readyz").send().await.expect_problem(503, "draining");

    let body = serde_json::json!({ "name": "-" });
    let made = app.admin("POST", "/tenants").json(&body).send().await;
    made.expect_problem(400, "invalid-request");
}

#[tokio::test]
async fn no_header_makes_another_request_of_it() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "POST"),
        ("x-method-override", "POST"),
        ("x-original-url", "/acme/echo/mine"),
        ("x-rewrite-url", "/acme/echo/mine"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "admin.example"),
        ("x-forwarded-prefix", "/other"),
        ("forwarded", "for=127.0.0.1;host=admin.example"),
        ("x-real-ip", "127.0.0.1"),
        ("x-tenant", "other"),
        ("host", "other.example"),
    ] {
        let reply = app
            .get("/acme/echo/open/1")
            .header(name, value)
            .send()
            .await
            .expect(200);
        let echo = reply.json();
        assert_eq!(
            (&echo["method"], &echo["path"]),
            (&"GET".into(), &"/open/1".into()),
            "{name}"
        );
        assert_eq!(
            echo["headers"],
            serde_json::json!([[name, value]]),
            "it is the plugin's to read"
        );
        let refused = app.get("/acme/echo/mine").header(name, value).send().await;
        refused.expect_problem(401, "unauthenticated");
        app.get("/nobody/echo/open/1")
            .header(name, value)
            .send()
            .await
            .expect_problem(404, "not-found");
    }
    // Nor does a query or the case of a method.
    let reply = app.get("/acme/echo/open/1?_method=POST").send().await.expect(200);
    assert_eq!(reply.json()["method"], "GET");
    app.call("get", "/acme/echo/open/1")
        .send()
        .await
        .expect_problem(405, "method-not-allowed");
}
