//! Generates responses of servers to plugins: valid ones, and ones that are nearly valid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::origin::Script;
use crate::target::{Target, sound};

/// Numbers the paths of inputs that run at the same time.
static NEXT: AtomicU64 = AtomicU64::new(0);

const HEADERS: [&str; 22] = [
    "content-length: 5",
    "content-length: 0",
    "content-length: 99999999999999999999",
    "content-length: 5, 5",
    "transfer-encoding: chunked",
    "transfer-encoding: gzip, chunked",
    "connection: close",
    "connection: upgrade",
    "content-encoding: gzip",
    "retry-after: 0",
    "retry-after: 18446744073709551615",
    "retry-after: Fri, 31 Dec 9999 23:59:59 GMT",
    "location: http://169.254.169.254/",
    "age: -1",
    "set-cookie: a=b",
    "content-type: text/plain; charset=\u{fc}",
    "date: never",
    "keep-alive: timeout=0",
    "trailer: x",
    "cache-control: max-age=1e9",
    "x: \u{7f}",
    "alt-svc: h3=\":1\"",
];

/// Returns parts `write`, a part `pause` in milliseconds, a part `stays` for a connection that
/// stays open, and a part `request`, which is the JSON input of the plugin.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    let mut parts = match chance.below(8) {
        0 | 1 => plain(chance),
        2 | 3 => dear(chance),
        _ => odd(chance),
    };
    if chance.odds(1, 8) {
        parts.push(Part::new("pause").text(chance.between(1, 60).to_string()));
    }
    if chance.odds(1, 2) {
        parts.push(Part::new("stays"));
    }
    let mut request = json!({ "method": chance.pick(&["GET", "GET", "GET", "POST", "HEAD", "DELETE"]) });
    if chance.odds(1, 4) {
        request["attempts"] = json!(chance.between(1, 5));
    }
    if chance.odds(1, 3) {
        request["timeout_ms"] = json!(chance.between(1, 1_500));
    }
    parts.push(Part::new("request").text(request.to_string()));
    parts
}

fn plain(chance: &mut Chance) -> Vec<Part> {
    let status = [200, 200, 204, 302, 404, 503][chance.below(6)];
    let length = chance.size(100_000);
    let head = Part::new("write").text(format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n"));
    vec![head, Part::new("write").times(length, "b")]
}

fn odd(chance: &mut Chance) -> Vec<Part> {
    let line = match chance.odds(4, 5) {
        true => format!(
            "HTTP/1.1 {} OK\r\n",
            [200, 200, 200, 204, 304, 101, 100, 429, 999][chance.below(9)]
        ),
        false => chance
            .pick(&[
                "HTTP/1.0 200\r\n",
                "HTTP/0.9 200 OK\r\n",
                "HTTP/2 200\r\n",
                "ICY 200 OK\r\n",
                "",
                "\0\0\0\r\n",
            ])
            .to_owned(),
    };
    let mut head = Part::new("write").text(line);
    for _ in 0..chance.below(4) {
        head = match chance.below(8) {
            0 => head.text(format!("{}: {}\r\n", chance.word(), chance.text(30))),
            1 => head.bytes(chance.bytes(6)).text("\r\n"),
            _ => head.text(format!("{}\r\n", chance.pick(&HEADERS))),
        };
    }
    let body = match chance.below(6) {
        0 => "5\r\nhello\r\n0\r\n\r\n",
        1 => "5;ext=\"x\"\r\nhello\r\n0\r\ntrailer: x\r\n\r\n",
        2 => "fffffffff\r\nhello",
        3 => "",
        4 => "helloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond",
        _ => "hello",
    };
    vec![head.text("\r\n"), Part::new("write").text(body)]
}

/// A response with a large number of one element.
fn dear(chance: &mut Chance) -> Vec<Part> {
    let part = Part::new("write");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let end = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let count = chance.size(200_000);
    vec![match chance.below(9) {
        0 | 1 => part.times(count, "HTTP/1.1 100 Continue\r\n\r\n").text(end),
        2 => part
            .times(
                count / 8,
                "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
            )
            .text(end),
        3 => part.text(chunked).times(count, "1\r\nx\r\n").text("0\r\n\r\n"),
        4 => part
            .text(chunked)
            .times(count / 8, "1;extension=\"0123456789\"\r\nx\r\n")
            .text("0\r\n\r\n"),
        5 => part
            .text(chunked)
            .text("0\r\n")
            .times(count / 8, "t{i}: v\r\n")
            .text("\r\n"),
        6 => part
            .text("HTTP/1.1 200 OK\r\n")
            .times(count / 8, "h{i}: v\r\n")
            .text("\r\n"),
        7 => part
            .text("HTTP/1.1 200 OK\r\nh: ")
            .times(count, "v")
            .text("\r\ncontent-length: 0\r\n\r\n"),
        _ => part
            .text("HTTP/1.1 200 OK\r\n\r\n")
            .times(count, "0123456789012345678901234567890123456789"),
    }]
}

/// Makes the plugin send its request to a server that answers with the parts. The input is accepted
/// if the plugin got a response.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    let path = format!("/i/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let pause = named(parts, "pause").find_map(|part| part.to_text().parse().ok());
    target.origin().set(
        &path,
        Script {
            writes: named(parts, "write").map(Part::content).collect(),
            pause: Duration::from_millis(pause.unwrap_or(0)),
            stays: named(parts, "stays").next().is_some(),
        },
    );
    let request: String = named(parts, "request").map(Part::to_text).collect();
    let mut request: serde_json::Value = serde_json::from_str(&request).unwrap_or_else(|_| json!({}));
    request["url"] = json!(format!("{}{path}", target.origin().address()));
    let sent = target.standing().post("http-client", "/send", &request);
    target.origin().forget(&path);
    let reply = sound(sent, "a request by a plugin")?;
    Ok(reply.body().is_ok_and(|body| body["status"].is_number()))
}
