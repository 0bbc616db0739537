//! Tests of routing: from a URL to a route, or to a 404.

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
        ("DELETE", "/acme/echo/open/1", "GET, HEAD, POST"),
        ("OPTIONS", "/acme/echo/open/1", "GET, HEAD, POST"),
        ("DELETE", "/acme/echo/%6fpen/1", "GET, HEAD, POST"),
        ("GET", "/acme/echo/checked", "POST"),
        ("GET", "/acme/echo/check%65d", "POST"),
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

/// Overlapping routes, one of which is protected.
const OVERLAPPING: &str = "
[plugin]
name = 'echo'
version = '1.0.0'

[[route]]
method = 'GET'
path = '/admin/{*rest}'
auth = ['api-key']

[[route]]
method = 'GET'
path = '/{*rest}'
auth = 'public'

[[route]]
method = 'GET'
path = '/u/me'
auth = ['api-key']

[[route]]
method = 'GET'
path = '/u/{id}'
auth = 'public'

[[route]]
method = 'GET'
path = '/ü/{{a b}}/{name}'
auth = ['api-key']

[[route]]
method = 'GET'
path = '/caf%C3%A9/100%25'
auth = 'public'
";

#[tokio::test]
async fn a_protected_route_is_protected_however_its_path_is_written() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, OVERLAPPING, &[]).await;
    for path in [
        "/%61dmin/x",
        "/admi%6E/x",
        "/u/%6de",
        "/%75/m%65",
        "/%C3%BC/%7Ba%20b%7D/x",
    ] {
        let reply = app.get(&format!("/acme/echo{path}")).send().await;
        assert_eq!(reply.problem(), (401, "unauthenticated".to_owned()), "{path}");
    }
    // An escape is decoded only once.
    let reply = app.get("/acme/echo/%2561dmin/x").send().await.expect(200).json();
    assert_eq!(reply["params"], serde_json::json!([["rest", "%61dmin/x"]]));
}

/// The result of a path: the status, the route and the captured parameters.
async fn leads_to(app: &App, key: &str, path: &str) -> (u16, Value, Value) {
    let reply = app.get(path).bearer(key).send().await;
    let (route, params) = match reply.status.as_u16() {
        200 => (reply.json()["route"].clone(), reply.json()["params"].clone()),
        _ => (Value::Null, Value::Null),
    };
    (reply.status.as_u16(), route, params)
}

/// Percent-encodes the bytes of a path, except slashes, for which `is_escaped` is true.
fn escaped(path: &str, mut is_escaped: impl FnMut() -> bool) -> String {
    let byte = |byte: u8| match byte {
        b'/' => "/".to_owned(),
        // These are not allowed unescaped.
        b' ' | b'%' | b'{' | b'}' | 0x80.. => format!("%{byte:02X}"),
        _ if is_escaped() => match byte % 2 {
            0 => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        },
        _ => char::from(byte).to_string(),
    };
    path.bytes().map(byte).collect()
}

/// Any percent-encoding of a path leads to the same route with the same parameters.
#[tokio::test]
async fn an_encoding_changes_nothing() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, OVERLAPPING, &[]).await;
    let key = acme.key(&[]).await;
    let mut seed: u64 = 1;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) & 1 == 1
    };
    for (path, route) in [
        ("/acme/echo/admin/x/y-z~1", "/admin/{*rest}"),
        ("/acme/echo/u/me", "/u/me"),
        ("/acme/echo/u/me2", "/u/{id}"),
        ("/acme/echo/u/100% {x}ä", "/u/{id}"),
        ("/acme/echo/ü/{a b}/%41", "/ü/{{a b}}/{name}"),
        ("/acme/echo/café/100%", "/caf%C3%A9/100%25"),
        ("/acme/echo/a:b@c;d=e,f/$&'()*+!", "/{*rest}"),
        ("/acme/echo/u", "/{*rest}"),
    ] {
        let plain = escaped(path, || false);
        let wanted = leads_to(&app, &key, &plain).await;
        assert_eq!((wanted.0, &wanted.1), (200, &route.into()), "{plain}");
        for number in 0..40 {
            let written = match number {
                0 => escaped(path, || true),
                _ => escaped(path, &mut random),
            };
            assert_eq!(leads_to(&app, &key, &written).await, wanted, "{written}");
            // Without a credential, a protected route is protected in each form.
            let anonymous = app.get(&written).send().await.status;
            let protected = ["/admin/{*rest}", "/u/me", "/ü/{{a b}}/{name}"].contains(&route);
            assert_eq!(anonymous, if protected { 401 } else { 200 }, "{written}");
        }
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
    // Neither a query parameter nor the case changes the method.
    let reply = app.get("/acme/echo/open/1?_method=POST").send().await.expect(200);
    assert_eq!(reply.json()["method"], "GET");
    app.call("get", "/acme/echo/open/1")
        .send()
        .await
        .expect_problem(405, "method-not-allowed");
}
