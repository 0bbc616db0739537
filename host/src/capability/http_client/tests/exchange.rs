//! Tests of requests and responses.

use tokio::io::AsyncWriteExt as _;

use super::super::super::bindings::types::Content;
use super::server::{Server, nobody, read_request, response};
use super::*;

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_the_response_comes_back() {
    let server =
        Server::answering(|_| response(201, "Content-Type: application/json\r\nX-A: b\r\n", "{}")).await;
    let mut guest = Guest::alone(&[&server.origin]);
    let mut request = request("POST", &format!("{}/a%20b?c=d#fragment", server.origin));
    request.headers = vec![
        ("Content-Type".to_owned(), "text/plain".to_owned()),
        ("X-Twice".to_owned(), "1".to_owned()),
        ("X-Twice".to_owned(), "2".to_owned()),
    ];
    request.body = Some(Content::Text("hello".to_owned()));
    let response = guest.send(request).await.unwrap();

    assert_eq!(
        server.requests()[0],
        format!(
            "POST /a%20b?c=d HTTP/1.1\r\ncontent-type: text/plain\r\nx-twice: 1\r\nx-twice: 2\r\nhost: 127.0.0.1:{}\r\n\
             x-mortise-depth: 1\r\nuser-agent: mortise\r\ncontent-length: 5\r\n\r\nhello",
            server.port
        )
    );
    assert_eq!(response.status, 201);
    assert!(response.headers.contains(&("x-a".to_owned(), "b".to_owned())));
    assert!(matches!(response.body, Content::Text(text) if text == "{}"));
    assert_eq!(guest.invocation.usage.host_calls, 1);
    assert_eq!(guest.invocation.usage.http_requests, 1);
    assert_eq!(guest.invocation.usage.http_bytes, 7);
}

#[tokio::test]
async fn what_was_not_granted_is_not_sent() {
    let server = Server::answering(|_| response(200, "", "")).await;
    let mut guest = Guest::alone(&["http://127.0.0.1:1"]);
    let error = guest.get(&server.origin).await.unwrap_err();
    assert!(matches!(error, Error::Denied(reason) if reason.contains(&server.origin)));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn loopback_is_refused_unless_the_operator_allows_it() {
    let server = Server::answering(|_| response(200, "", "")).await;
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let clients = Arc::new(HttpClients::new(HttpClientConfig::default(), clock, Handle::current()).unwrap());
    for origin in [server.origin.clone(), format!("http://localhost:{}", server.port)] {
        let mut guest = Guest::new(&clients, Limits::default(), &[&origin]);
        let error = guest.get(&origin).await.unwrap_err();
        assert!(matches!(error, Error::Denied(reason) if reason.contains("set `allow_loopback = true`")));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirects_are_given_to_the_guest() {
    let elsewhere = Server::answering(|_| response(200, "", "")).await;
    let location = format!("Location: {}/\r\n", elsewhere.origin);
    let server = Server::answering(move |_| response(302, &location, "")).await;
    let mut guest = Guest::alone(&[&server.origin, &elsewhere.origin]);
    let response = guest.get(&server.origin).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(
        response
            .headers
            .iter()
            .any(|(name, value)| name == "location" && value.contains(&elsewhere.origin))
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn compressed_bodies_are_passed_on_as_they_are() {
    let server = Server::answering(|_| response(200, "Content-Encoding: gzip\r\n", "\u{1f}compressed")).await;
    let mut guest = Guest::alone(&[&server.origin]);
    let response = guest.get(&server.origin).await.unwrap();
    assert!(matches!(response.body, Content::Bytes(bytes) if bytes == b"\x1fcompressed"));
    assert!(!server.requests()[0].contains("accept-encoding"));
}

#[tokio::test]
async fn a_head_response_has_a_length_and_no_body() {
    let server =
        Server::answering(|_| "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_owned()).await;
    let mut guest = Guest::alone(&[&server.origin]);
    let response = guest.send(request("HEAD", &server.origin)).await.unwrap();
    assert!(matches!(response.body, Content::Bytes(bytes) if bytes.is_empty()));
}

#[tokio::test]
async fn a_secret_reaches_the_server_and_never_the_guest() {
    let server = Server::answering(|_| response(200, "", "")).await;
    let refusing = nobody().await;
    let mut guest = Guest::alone(&[&server.origin, &refusing]).with_secret("token", "s3cret");
    let with_secret = |url: &str, secret: &str| {
        let mut request = request("GET", url);
        request.secret_headers = vec![(
            "Authorization".to_owned(),
            "Bearer ".to_owned(),
            secret.to_owned(),
        )];
        request
    };

    guest.send(with_secret(&server.origin, "token")).await.unwrap();
    assert!(server.requests()[0].contains("authorization: Bearer s3cret\r\n"));

    let error = guest.send(with_secret(&refusing, "token")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Connect(reason) if !reason.contains("s3cret")),
        "{error:?}"
    );

    let error = guest
        .send(with_secret(&server.origin, "other"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Denied(reason) if reason.contains("`other`")),
        "{error:?}"
    );

    let mut twice = with_secret(&server.origin, "token");
    twice.headers = vec![("authorization".to_owned(), "mine".to_owned())];
    let error = guest.send(twice).await.unwrap_err();
    assert!(
        matches!(&error, Error::InvalidRequest(reason) if reason.contains("twice")),
        "{error:?}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn connections_are_used_again_by_the_tenant_alone() {
    let server = Server::answering(|_| response(200, "", "ok")).await;
    let clients = clients();
    let mut first = Guest::new(&clients, Limits::default(), &[&server.origin]);
    for _ in 0..3 {
        first.get(&server.origin).await.unwrap();
    }
    first.again().get(&server.origin).await.unwrap();
    assert_eq!(server.connections(), 1);

    let mut other = Guest::new(&clients, Limits::default(), &[&server.origin]);
    other.get(&server.origin).await.unwrap();
    assert_eq!(server.connections(), 2);

    assert_eq!(clients.held().idle_connections, 2);
    clients.forget_tenant(first.invocation.active.tenant);
    assert_eq!(clients.held().idle_connections, 1);
    first.get(&server.origin).await.unwrap();
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let server = Server::talking(|mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream
            .write_all(response(200, "", "ok").as_bytes())
            .await
            .unwrap();
        // The connection looks reusable, but closes at the next request.
        read_request(&mut stream).await;
    })
    .await;
    let mut guest = Guest::alone(&[&server.origin]);
    for _ in 0..3 {
        assert_eq!(guest.get(&server.origin).await.unwrap().status, 200);
    }
    assert_eq!(server.connections(), 3);
    let post = guest.send(request("POST", &server.origin)).await;
    assert!(
        matches!(post, Err(Error::Protocol(_))),
        "a POST may have been served: {post:?}"
    );
}

#[tokio::test]
async fn several_requests_run_at_once() {
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let server = Server::talking(move |mut stream| {
        let barrier = barrier.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            barrier.wait().await;
            stream
                .write_all(response(200, "", "ok").as_bytes())
                .await
                .unwrap();
            read_request(&mut stream).await;
        }
    })
    .await;
    let mut guest = Guest::alone(&[&server.origin]);
    let first = guest.start(request("GET", &server.origin)).await.unwrap();
    let second = guest.start(request("GET", &server.origin)).await.unwrap();
    assert_eq!(guest.wait(&second).await.unwrap().status, 200);
    assert_eq!(guest.wait(&first).await.unwrap().status, 200);
    let again = guest.wait(&first).await.unwrap_err();
    assert!(matches!(again, Error::InvalidRequest(reason) if reason.contains("works once")));
    assert_eq!(guest.invocation.usage.http_requests, 2);
    assert_eq!(guest.invocation.usage.http_bytes, 4);
}

#[tokio::test]
async fn dropping_a_request_under_way_ends_it() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let (arrived, mut arrival) = tokio::sync::mpsc::channel(1);
    let server = Server::talking(move |mut stream| {
        let (arrived, ended) = (arrived.clone(), ended.clone());
        async move {
            read_request(&mut stream).await.unwrap();
            arrived.send(()).await.unwrap();
            assert_eq!(read_request(&mut stream).await, None);
            ended.send(()).await.unwrap();
        }
    })
    .await;
    let mut guest = Guest::alone(&[&server.origin]);
    let pending = guest.start(request("GET", &server.origin)).await.unwrap();
    arrival.recv().await.unwrap();
    guest.give_up(pending).await;
    end.recv().await.unwrap();

    let pending = guest.start(request("GET", &server.origin)).await.unwrap();
    arrival.recv().await.unwrap();
    drop((guest, pending));
    end.recv().await.unwrap();
}
