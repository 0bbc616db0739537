//! Tests of retries, circuit breakers and servers that do not speak HTTP.

use tokio::io::AsyncWriteExt as _;

use super::super::super::bindings::http_client::Retry;
use super::super::breaker::{FAILURES, OPEN_FOR};
use super::server::{Server, nobody, read_request, response};
use super::*;

fn retried(method: &str, url: &str, max_attempts: u32) -> OutgoingRequest {
    OutgoingRequest {
        retry: Some(Retry {
            max_attempts,
            initial_backoff_ms: 1,
        }),
        ..request(method, url)
    }
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_until_it_has_passed() {
    let server = Server::answering(|number| response(if number < 2 { 503 } else { 200 }, "", "")).await;
    let mut guest = Guest::alone(&[&server.origin]);
    assert_eq!(
        guest
            .send(retried("GET", &server.origin, 5))
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(server.requests().len(), 3);
    assert_eq!(guest.invocation.usage.http_requests, 3);
    assert_eq!(guest.invocation.usage.host_calls, 1);
}

#[tokio::test]
async fn attempts_are_clamped_and_the_last_response_holds() {
    let server = Server::answering(|_| response(503, "", "busy")).await;
    let mut guest = Guest::alone(&[&server.origin]);
    assert_eq!(
        guest
            .send(retried("GET", &server.origin, 1_000))
            .await
            .unwrap()
            .status,
        503
    );
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_post_is_repeated_only_where_nothing_was_sent() {
    let server = Server::answering(|_| response(503, "", "")).await;
    let refusing = nobody().await;
    let mut guest = Guest::alone(&[&server.origin, &refusing]);
    assert_eq!(
        guest
            .send(retried("POST", &server.origin, 3))
            .await
            .unwrap()
            .status,
        503
    );
    assert_eq!(server.requests().len(), 1);

    let error = guest.send(retried("POST", &refusing, 3)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Connect(reason) if *reason == format!("no connection to {refusing}: connection refused")),
        "{error:?}"
    );
    assert_eq!(guest.invocation.usage.http_requests, 4);
}

#[tokio::test]
async fn retries_end_with_the_budget_of_the_invocation() {
    let server = Server::answering(|_| response(503, "", "")).await;
    let limits = Limits {
        http_requests: 2,
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    assert_eq!(
        guest
            .send(retried("GET", &server.origin, 5))
            .await
            .unwrap()
            .status,
        503
    );
    assert_eq!(server.requests().len(), 2);
    let error = guest.get(&server.origin).await.unwrap_err();
    assert!(
        matches!(error, Error::Limit(reason) if reason == "this invocation has sent its 2 requests, retries included")
    );
}

#[tokio::test]
async fn a_wait_that_the_deadline_does_not_allow_is_not_begun() {
    let server = Server::answering(|_| response(429, "Retry-After: 3600\r\n", "")).await;
    let mut guest = Guest::alone(&[&server.origin]);
    assert_eq!(
        guest
            .send(retried("GET", &server.origin, 5))
            .await
            .unwrap()
            .status,
        429
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_response_that_never_comes_is_asked_for_again() {
    let server =
        Server::talking(|mut stream| async move { while read_request(&mut stream).await.is_some() {} }).await;
    let limits = Limits {
        http_first_byte: crate::domain::units::Span::ms(30),
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    assert!(matches!(
        guest.send(retried("GET", &server.origin, 3)).await,
        Err(Error::Timeout)
    ));
    assert_eq!(server.connections(), 3);
    assert!(matches!(
        guest.send(retried("POST", &server.origin, 3)).await,
        Err(Error::Timeout)
    ));
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn an_origin_that_keeps_failing_is_left_alone_for_a_while() {
    let refusing = nobody().await;
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let clients = clients_at(clock.clone());
    let mut guest = Guest::new(&clients, Limits::default(), &[&refusing]);
    for _ in 0..FAILURES {
        assert!(matches!(guest.get(&refusing).await, Err(Error::Connect(_))));
    }
    assert!(matches!(guest.get(&refusing).await, Err(Error::CircuitOpen)));
    assert!(matches!(
        guest.start(request("GET", &refusing)).await,
        Err(Error::CircuitOpen)
    ));
    assert!(matches!(
        guest.again().get(&refusing).await,
        Err(Error::CircuitOpen)
    ));
    assert_eq!(guest.invocation.usage.http_requests, FAILURES, "nothing was sent");

    let mut other_tenant = Guest::new(&clients, Limits::default(), &[&refusing]);
    assert!(matches!(
        other_tenant.get(&refusing).await,
        Err(Error::Connect(_))
    ));

    clock.advance(OPEN_FOR);
    assert!(
        matches!(guest.get(&refusing).await, Err(Error::Connect(_))),
        "one probe"
    );
    assert!(matches!(guest.get(&refusing).await, Err(Error::CircuitOpen)));
}

#[tokio::test]
async fn a_probe_that_the_budget_refuses_or_the_guest_gives_up_leaves_its_place() {
    let refusing = nobody().await;
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let clients = clients_at(clock.clone());
    let limits = Limits {
        http_requests: FAILURES,
        ..Limits::default()
    };
    let mut spent = Guest::new(&clients, limits, &[&refusing]);
    for _ in 0..FAILURES {
        assert!(matches!(spent.get(&refusing).await, Err(Error::Connect(_))));
    }
    clock.advance(OPEN_FOR);
    assert!(matches!(spent.get(&refusing).await, Err(Error::Limit(_))));
    let mut probing = spent.again();
    assert!(
        matches!(probing.get(&refusing).await, Err(Error::Connect(_))),
        "this one is the probe"
    );

    clock.advance(OPEN_FOR);
    let address = refusing.strip_prefix("http://").unwrap();
    let _silent = tokio::net::TcpListener::bind(address).await.unwrap();
    let mut guest = spent.again();
    let probe = guest.start(request("GET", &refusing)).await.unwrap();
    assert!(matches!(guest.get(&refusing).await, Err(Error::CircuitOpen)));
    guest.give_up(probe).await;
    // The runtime ends the task of the probe some time later.
    while guest.start(request("GET", &refusing)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"a: b\r\n".repeat(1_000) + "\r\n";
    let large = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(100_000));
    for (answer, reason) in [
        ("hello\r\n\r\n", "the response is not HTTP/1.1"),
        (
            many.as_str(),
            "the response has more than 100 headers or 65536 bytes of them",
        ),
        (
            large.as_str(),
            "the response has more than 100 headers or 65536 bytes of them",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "the response is not HTTP/1.1",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            "the server closed the connection before the response was complete",
        ),
        (
            "",
            "the server closed the connection before the response was complete",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "the server switched to another protocol",
        ),
    ] {
        let answer = answer.to_owned();
        let server = Server::talking(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await;
                // The client may have closed the connection already.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        let outcome = Guest::alone(&[&server.origin]).get(&server.origin).await;
        let outcome = outcome.map(|response| response.status);
        assert!(
            matches!(&outcome, Err(Error::Protocol(text)) if text == reason),
            "{reason}: {outcome:?}"
        );
    }
}
