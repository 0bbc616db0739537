//! A guest that counts its calls, which shows whether its instance is reused.

#![expect(clippy::print_stdout, reason = "whose log it goes to is what a test asks")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use test_guests::{Request, Response, answer, database, guest, json, secrets};

guest!(handle);

static CALLS: AtomicU64 = AtomicU64::new(0);
static SECRET: OnceLock<String> = OnceLock::new();

fn handle(request: Request) -> Response {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    match request.path.as_str() {
        "/print" => println!("call {calls}"),
        "/trap" => std::process::abort(),
        "/loop" => loop {
            std::hint::black_box(0);
        },
        "/open" => std::mem::forget(database::begin().expect("a transaction begins")),
        "/memory" => std::mem::forget(std::hint::black_box(vec![1_u8; 40 << 20])),
        "/log" => test_guests::log::write(test_guests::log::Level::Info, "logged", &[]),
        "/reveal" => {
            let secret = secrets::reveal("token").expect("the secret is granted");
            SECRET.get_or_init(|| secret);
        }
        "/secret" => println!("it is {:?}", SECRET.get()),
        _ => {}
    }
    answer(200, &json!(calls))
}
