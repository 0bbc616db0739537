//! Tests with extreme values of every number that a server sends: each call ends at once with a
//! response or a typed error.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::super::super::bindings::http_client::Retry;
use super::server::{Server, read_request, response};
use super::*;

/// The call must not wait as long as any of these numbers says.
const AT_ONCE: Duration = Duration::from_secs(4);

const EXTREMES: [&str; 22] = [
    "0",
    "00000000000000000000000000000000127",
    "127",
    "255",
    "65535",
    "65536",
    "2147483647",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551613",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "-1",
    "-9223372036854775808",
    "1e308",
    "0x7fffffff",
    "٣",
];

/// Sends a request with up to three attempts to a server that sends `answer` and closes.
async fn answered(answer: String) -> Result<IncomingResponse, Error> {
    let server = Server::talking(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            // The client may have closed the connection already.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let request = OutgoingRequest {
        retry: Some(Retry {
            max_attempts: 3,
            initial_backoff_ms: 1,
        }),
        ..request("GET", &server.origin)
    };
    let mut guest = Guest::alone(&[&server.origin]);
    let outcome = timeout(AT_ONCE, guest.send(request)).await;
    outcome.expect("no number makes a request wait")
}

#[track_caller]
fn is_typed(outcome: &Result<IncomingResponse, Error>, what: &str) {
    assert!(
        matches!(
            outcome,
            Ok(_) | Err(Error::TooLarge | Error::Protocol(_) | Error::Limit(_))
        ),
        "{what}: {outcome:?}"
    );
}

#[tokio::test]
async fn lengths() {
    for number in EXTREMES {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {number}\r\n\r\nok");
        is_typed(&answered(answer).await, number);
    }
    for (number, wanted) in [("18446744073709551613", true), ("5242881", true), ("2", false)] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {number}\r\n\r\nok");
        assert_eq!(
            matches!(answered(answer).await, Err(Error::TooLarge)),
            wanted,
            "{number}"
        );
    }
}

#[tokio::test]
async fn sizes_of_chunks() {
    let hexadecimal = [
        "ffffffff",
        "100000000",
        "7fffffffffffffff",
        "ffffffffffffffff",
        "10000000000000000",
    ];
    for number in EXTREMES.into_iter().chain(hexadecimal) {
        let answer =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{number}\r\nok\r\n0\r\n\r\n");
        is_typed(&answered(answer).await, number);
    }
}

#[tokio::test]
async fn statuses() {
    for number in EXTREMES
        .into_iter()
        .chain(["99", "100", "199", "200", "999", "1000"])
    {
        let answer = format!("HTTP/1.1 {number} X\r\ncontent-length: 2\r\n\r\nok");
        is_typed(&answered(answer).await, number);
    }
}

#[tokio::test]
async fn headers_that_hold_numbers() {
    for number in EXTREMES {
        for name in [
            "age",
            "keep-alive",
            "max-forwards",
            "x-ratelimit-reset",
            "date",
            "expires",
        ] {
            let header = format!("{name}: timeout={number}\r\n{name}: {number}\r\n");
            assert_eq!(answered(response(200, &header, "ok")).await.unwrap().status, 200);
        }
    }
}

#[tokio::test]
async fn waits_that_no_request_outlives_end_it() {
    let dates = ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"];
    for wait in EXTREMES.into_iter().chain(dates) {
        let server = {
            let wait = wait.to_owned();
            Server::answering(move |_| response(503, &format!("retry-after: {wait}\r\n"), "")).await
        };
        let request = OutgoingRequest {
            retry: Some(Retry {
                max_attempts: 2,
                initial_backoff_ms: 1,
            }),
            ..request("GET", &server.origin)
        };
        let mut guest = Guest::alone(&[&server.origin]);
        let outcome = timeout(AT_ONCE, guest.send(request)).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("{wait}: the guest waited"));
        assert_eq!(outcome.unwrap().status, 503, "{wait}");
        // A wait that fits into the time is kept. An invalid number is ignored. Any other number
        // ends the request.
        let sent = server.requests().len();
        match wait.parse::<u128>() {
            Ok(seconds) if seconds > 5 => assert_eq!(sent, 1, "{wait}"),
            Ok(_) | Err(_) => assert!((1..=2).contains(&sent), "{wait}"),
        }
    }
}
