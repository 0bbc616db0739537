//! A guest that opens every kind of resource, leaves some open, and uses invalid handles.

use std::time::{Duration, Instant};

use test_guests::database::{self, Cursor, Transaction};
use test_guests::http_client::{self, OutgoingRequest};
use test_guests::{Content, Request, Response, Value, answer, cache, guest, input, json, text};

guest!(handle);

fn handle(request: Request) -> Response {
    let input = input(&request);
    let output = match request.path.as_str() {
        "/everything" => everything(text(&input, "url")),
        "/clock" => {
            let _transaction = write();
            let _cursor = read();
            now();
            json!("told")
        }
        "/never" => {
            let _transaction = write();
            let _cursor = read();
            let _pending = http_client::start(&get(text(&input, "url"))).expect("it starts");
            // The guest does not wait for a response, because the host ends that wait at the same
            // time as the plugin.
            std::thread::sleep(Duration::from_secs(3_600));
            json!("awake")
        }
        "/count" => count(),
        "/dropped" => {
            let transaction = write();
            let handle = transaction.handle();
            drop(transaction);
            commit(handle)
        }
        "/made-up" => commit(4_711),
        "/of-another-kind" => commit(read().take_handle()),
        "/hoard" => hoard(),
        other => json!(other),
    };
    answer(200, &output)
}

/// Uses every capability that waits, and ends with an open transaction, an open cursor and a
/// running request.
fn everything(url: &str) -> Value {
    cache::set("key", &Content::Text("value".to_owned()), None).expect("the cache takes it");
    let cached = cache::get("key").expect("the cache answers").is_some();

    let transaction = write();
    transaction
        .query("SELECT count(*) FROM item", &[])
        .expect("it reads");
    transaction.execute(INSERT, &[]).expect("it writes twice");
    transaction.commit().expect("it commits");
    database::execute("UPDATE item SET price = 1", &[]).expect("it writes alone");

    let sent = http_client::send(&get(url)).expect("the server answers").status;
    let started = http_client::start(&get(url)).expect("it starts");
    let left = http_client::start(&get(url)).expect("another starts");
    let waited = started.wait().expect("the server answers").status;

    let cursor = read();
    cursor.next(1).expect("it has a row");
    let open = write();
    std::mem::forget((cursor, open, left));
    json!({ "cached": cached, "sent": sent, "waited": waited })
}

#[expect(clippy::disallowed_methods, reason = "a guest has no clock but that of WASI")]
fn now() {
    std::hint::black_box(Instant::now());
}

fn count() -> Value {
    let found = database::query("SELECT count(*) FROM item", &[]).expect("it reads");
    match found.rows[0][0] {
        database::Value::Integer(count) => json!(count),
        _ => json!(null),
    }
}

const INSERT: &str = "INSERT INTO item (name) VALUES ('x')";

fn write() -> Transaction {
    let transaction = database::begin().expect("a transaction begins");
    transaction.execute(INSERT, &[]).expect("it writes");
    transaction
}

fn read() -> Cursor {
    database::open("SELECT id FROM item", &[]).expect("a cursor opens")
}

fn get(url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        secret_headers: Vec::new(),
        body: None,
        timeout_ms: None,
        retry: None,
    }
}

/// Commits the transaction with this handle.
fn commit(handle: u32) -> Value {
    #[expect(
        unsafe_code,
        reason = "the attack that is wanted: safe code keeps handles that it was given"
    )]
    // SAFETY: nothing here owns the handle's resource, so this guest does not drop it twice. The
    // test checks what the host does with it.
    let transaction = unsafe { Transaction::from_handle(handle) };
    json!(transaction.commit().is_ok())
}

/// Takes resources without releasing them, until the host refuses.
fn hoard() -> Value {
    #[cfg(target_family = "wasm")]
    #[link(wasm_import_module = "wasi:cli/stdout@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-stdout"]
        safe fn get_stdout() -> u32;
    }
    #[cfg(not(target_family = "wasm"))]
    fn get_stdout() -> u32 {
        0
    }
    let taken: Vec<u32> = (0..100_000).map(|_| get_stdout()).collect();
    json!(taken.len())
}
