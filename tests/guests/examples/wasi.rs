//! A guest that uses WASI: files, environment, network, clocks, randomness and output.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a guest gets when it does this is what the tests ask"
)]

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use test_guests::{Request, Response, answer, guest, json};

guest!(handle);

fn handle(request: Request) -> Response {
    let output = match request.path.as_str() {
        "/files" => json!({
            "read": std::fs::read("/etc/passwd").map_err(|error| error.to_string()).err(),
            "list": std::fs::read_dir("/").map(|_| ()).map_err(|error| error.to_string()).err(),
            "write": std::fs::write("/tmp/x", "x").map_err(|error| error.to_string()).err(),
        }),
        "/environment" => json!({
            "variables": std::env::vars().collect::<Vec<_>>(),
            "arguments": std::env::args().collect::<Vec<_>>(),
        }),
        "/network" => json!({
            "connect": std::net::TcpStream::connect("127.0.0.1:8080").map_err(|error| error.to_string()).err(),
            "resolve": std::net::ToSocketAddrs::to_socket_addrs("localhost:80")
                .map(|_| ())
                .map_err(|error| error.to_string())
                .err(),
            "bind": std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ()).map_err(|error| error.to_string()).err(),
        }),
        "/clock" => {
            let since = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or(Duration::ZERO);
            json!({ "nanoseconds": since.subsec_nanos(), "milliseconds": u64::try_from(since.as_millis()).unwrap_or(u64::MAX) })
        }
        "/print" => {
            println!("printed to stdout");
            println!("x = {}, y = {}", black_box(1), black_box(2));
            eprintln!("printed to stderr");
            eprintln!(
                "pieces of {} and {}\n  at {}",
                black_box(1),
                black_box(2),
                black_box('a')
            );
            eprint!("  at ");
            eprintln!("{}", black_box('b'));
            json!("printed")
        }
        "/print-much" => {
            for _ in 0..4_096 {
                println!("{}", "x".repeat(1_024));
            }
            json!("printed")
        }
        "/print-for-ever" => loop {
            println!("{}", "x".repeat(1_024));
        },
        "/exit" => std::process::exit(0),
        other => json!(other),
    };
    answer(200, &output)
}
