//! Tests of outbound requests, responses and their limits.

use serde_json::{Value, json};

use super::server::Server;
use super::{app, deploy, get, is_error, send};

#[tokio::test]
async fn a_request_goes_out_and_its_response_comes_in_whole() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &[&server.origin], "").await;
    let request = json!({
        "method": "PUT",
        "url": server.url("/a%20b?c=d"),
        "headers": { "x-own": "1", "content-type": "text/plain" },
        "body": "hello",
    });
    let call = app.post("/acme/client/send").json(&request);
    let reply = call.send().await.expect(200);
    let answer = reply.json();
    assert_eq!(
        (&answer["status"], &answer["body"]),
        (&json!(200), &json!({ "text": "hello" }))
    );
    let headers = answer["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-from", "server"])), "{answer}");

    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.uri.to_string()),
        ("PUT", "/a%20b?c=d".to_owned())
    );
    assert_eq!(
        (&seen.headers["x-own"], &seen.body[..]),
        (&"1".parse().unwrap(), b"hello".as_slice())
    );
    assert!(!seen.headers.contains_key("x-api-key"));
    assert_eq!(seen.headers["host"], server.origin.trim_start_matches("http://"));

    let usage = &acme.invocation(&reply).await["usage"];
    assert_eq!(
        (&usage["http_requests"], &usage["http_bytes"]),
        (&json!(1), &json!(10))
    );
    assert_eq!(
        get(&app, &server.url("/binary")).await["body"],
        json!({ "bytes": [0, 255] })
    );
}

#[tokio::test]
async fn what_frames_a_message_is_the_hosts() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &[&server.origin], "").await;
    for (name, value) in [
        ("host", "evil.example"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "x"),
        ("x", "a\r\nb: c"),
        ("a b", "c"),
    ] {
        let answer = send(
            &app,
            json!({ "url": server.url("/"), "headers": { name: value } }),
        )
        .await;
        is_error(&answer, "InvalidRequest", "");
    }
    for method in ["CONNECT", "TRACE", "GET / HTTP/1.1\r\nx: y"] {
        let answer = send(&app, json!({ "url": server.url("/"), "method": method })).await;
        is_error(&answer, "InvalidRequest", "");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_secret_reaches_the_server_and_not_the_guest() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &[&server.origin], "[secrets]\nuse = ['token', 'unset']\n").await;
    acme.secret("token", "s3cret").await;
    acme.secret("foreign", "hidden").await;
    let with =
        |secret: &str| json!({ "url": server.url("/"), "secret_headers": { "authorization": secret } });

    let answer = send(&app, with("token")).await;
    assert_eq!(answer["status"], 200, "{answer}");
    assert!(!answer.to_string().contains("s3cret"), "{answer}");
    assert_eq!(server.seen()[0].headers["authorization"], "Bearer s3cret");

    is_error(&send(&app, with("foreign")).await, "Denied", "`foreign`");
    is_error(&send(&app, with("unset")).await, "Denied", "`unset`");
    assert_eq!(server.seen().len(), 1);
}

/// Review 7.4: a plugin may reach its author's server, but its secret is bound to another origin.
#[tokio::test]
async fn a_bound_secret_goes_to_its_origins_and_nowhere_else() {
    let app = app().await;
    let (own, other) = (Server::start().await, Server::start().await);
    let acme = deploy(
        &app,
        &[&own.origin, &other.origin],
        &format!(
            "[secrets]\nuse = [{{ name = 'token', origins = ['{}'] }}]\n",
            own.origin
        ),
    )
    .await;
    acme.secret("token", "s3cret").await;
    let with = |url: String| json!({ "url": url, "secret_headers": { "authorization": "token" } });

    assert_eq!(send(&app, with(own.url("/"))).await["status"], 200);
    // A request to the target of a redirect is checked like any other.
    let answer = send(&app, with(own.url("/redirect"))).await;
    assert_eq!(answer["status"], 302);
    for url in [other.url("/"), own.origin.replace("127.0.0.1", "localhost")] {
        let answer = send(&app, with(url.clone())).await;
        is_error(&answer, "Denied", "");
        assert!(!answer.to_string().contains("s3cret"), "{answer}");
    }
    is_error(
        &send(&app, with(other.url("/"))).await,
        "Denied",
        "`token` may be sent to",
    );
    is_error(&send(&app, with(other.url("/"))).await, "Denied", &other.origin);
    assert!(other.seen().is_empty());
    assert_eq!(
        get(&app, &other.url("/")).await["status"],
        200,
        "without the secret it is reached"
    );

    // The tenant can grant less than the manifest requests, with immediate effect.
    let mut http = [&own.origin, &other.origin];
    // Grants are listed in alphabetical order.
    http.sort();
    let grant = |origins: &[&String]| {
        let token = json!({ "name": "token", "origins": origins });
        json!({ "http": http, "secrets": { "use": [token] } })
    };
    acme.grant("client", &grant(&[&other.origin])).await;
    is_error(
        &send(&app, with(own.url("/"))).await,
        "Denied",
        "`token` may be sent to no origin",
    );
    is_error(&send(&app, with(other.url("/"))).await, "Denied", "`token`");
    acme.grant("client", &grant(&[&own.origin])).await;
    assert_eq!(send(&app, with(own.url("/"))).await["status"], 200);

    let path = acme.path("/plugins/client/grants");
    let view = app.admin("GET", &path).send().await.expect(200).json();
    assert_eq!(view["missing"], json!([]));
    assert_eq!(view["grants"], {
        let mut grants = grant(&[&own.origin]);
        grants["database"] = json!(false);
        grants["secrets"]["reveal"] = json!([]);
        grants
    });
}

/// In contract 0.1 secrets have no origins, but a tenant may still bind one to origins.
#[tokio::test]
async fn a_tenant_may_bind_a_secret_that_the_manifest_does_not() {
    let app = app().await;
    let (own, other) = (Server::start().await, Server::start().await);
    let origins = [&own.origin, &other.origin];
    let acme = deploy(&app, &origins.map(String::as_str), "[secrets]\nuse = ['token']\n").await;
    acme.secret("token", "s3cret").await;
    let with = |url: String| json!({ "url": url, "secret_headers": { "authorization": "token" } });
    for server in [&own, &other] {
        assert_eq!(send(&app, with(server.url("/"))).await["status"], 200);
    }
    let token = json!({ "name": "token", "origins": [own.origin] });
    acme.grant(
        "client",
        &json!({ "http": origins, "secrets": { "use": [token] } }),
    )
    .await;
    assert_eq!(send(&app, with(own.url("/"))).await["status"], 200);
    is_error(&send(&app, with(other.url("/"))).await, "Denied", &other.origin);
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn several_run_at_once_and_each_is_waited_for_once() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &[&server.origin], "").await;
    let requests: Vec<Value> = (0..8)
        .map(|index| json!({ "url": server.url("/"), "method": "POST", "body": index.to_string() }))
        .collect();
    let call = app
        .post("/acme/client/start")
        .json(&json!({ "requests": requests }));
    let answers = call.send().await.expect(200).json();
    let answers = answers.as_array().unwrap();
    for (index, answer) in answers[..6].iter().enumerate() {
        assert_eq!(answer[0]["body"], json!({ "text": index.to_string() }));
        is_error(&answer[1], "InvalidRequest", "`wait` works once");
    }
    for answer in &answers[6..] {
        is_error(answer, "Limit", "6 requests under way");
    }
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_not_waited_for() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &[&server.origin], "").await;
    let request = json!({ "url": server.url("/never"), "timeout_ms": 50 });
    assert_eq!(send(&app, request).await, json!({ "error": "Error::Timeout" }));

    acme.limit(&json!({ "http_first_byte": "50ms" })).await;
    let request = json!({ "url": server.url("/never"), "timeout_ms": 60_000 });
    assert_eq!(send(&app, request).await, json!({ "error": "Error::Timeout" }));
}

#[tokio::test]
async fn who_waits_for_a_silent_server_has_time_left_to_answer() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &[&server.origin], "").await;
    // All limits of the request itself are longer.
    acme.limit(&json!({ "wall": "1s" })).await;
    let call = app
        .post("/acme/client/send")
        .json(&json!({ "url": server.url("/never") }));
    let reply = call.send().await.expect(200);
    assert_eq!(reply.json(), json!({ "error": "Error::Timeout" }));
    let wall = acme.invocation(&reply).await["usage"]["wall_us"]
        .as_u64()
        .unwrap();
    assert!((800_000..1_000_000).contains(&wall), "{wall}");
}

#[tokio::test]
async fn attempts_are_repeated_and_counted() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &[&server.origin], "").await;
    let request = json!({ "url": server.url("/flaky"), "attempts": 3 });
    let call = app.post("/acme/client/send").json(&request);
    let reply = call.send().await.expect(200);
    assert_eq!(reply.json()["status"], 200);
    assert_eq!(server.seen().len(), 3);
    assert_eq!(acme.invocation(&reply).await["usage"]["http_requests"], 3);

    // A request that may have had an effect is not retried.
    let request = json!({ "url": server.url("/status/503"), "method": "POST", "attempts": 3 });
    assert_eq!(send(&app, request).await["status"], 503);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_typed_error() {
    let app = app().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    deploy(&app, &[&origin], "").await;
    is_error(&get(&app, &origin).await, "Connect", &origin);
}
