//! A guest with one fault for each path.

use std::hint::black_box;

use test_guests::{Body, Request, Response, answer, guest, json};

guest!(handle);

fn handle(request: Request) -> Response {
    match request.path.as_str() {
        "/fine" => answer(200, &json!("fine")),
        "/trap" => std::process::abort(),
        "/panic" => panic!("a panic with a message"),
        "/loop" => loop {
            black_box(0);
        },
        "/recursion" => answer(200, &json!(recurse(0))),
        "/memory" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 1 << 20]));
            }
        }
        "/sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
            answer(200, &json!("awake"))
        }
        "/busy" => {
            let mut sum = 0_u64;
            for number in 0..20_000_000_u64 {
                sum = black_box(sum.wrapping_add(number));
            }
            answer(200, &json!(sum))
        }
        "/status" => respond(99, Vec::new(), Body::Empty),
        "/header" => respond(
            200,
            vec![("x".to_owned(), "a\r\nset-cookie: b".to_owned())],
            Body::Empty,
        ),
        "/large" => respond(200, Vec::new(), Body::Bytes(vec![b'x'; 3 << 20])),
        "/channels" => respond(200, Vec::new(), Body::Channels(vec!["c".to_owned()])),
        "/connection" => {
            let names = [
                "connection",
                "transfer-encoding",
                "content-length",
                "x-request-id",
            ];
            respond(
                200,
                names.map(|name| (name.to_owned(), "1".to_owned())).to_vec(),
                Body::Empty,
            )
        }
        "/not-the-schema" => answer(200, &json!({ "unexpected": true })),
        other => answer(404, &json!(other)),
    }
}

fn respond(status: u16, headers: Vec<(String, String)>, body: Body) -> Response {
    Response {
        status,
        headers,
        body,
    }
}

#[expect(unconditional_recursion, reason = "the fault that is wanted")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + 1
}
