//! The requests of every HTTP client, which the host rejects before it has read their bodies.

use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{PLUGIN, TENANT};

/// The sizes of the bodies: from one that fits into the first packet to one that exceeds all
/// buffers.
const SIZES: [usize; 5] = [20, 2_000, 200_000, 1_100_000, 3_000_000];

/// The largest body that the plan allows (limit `request_body`).
const MAX_BODY: usize = 1_048_576;

/// How often each case is sent.
const ROUNDS: usize = 10;

/// A request that is rejected.
#[derive(Serialize)]
pub struct Case {
    name: String,
    method: &'static str,
    path: String,
    headers: Value,
    /// Bytes of the body.
    size: usize,
    /// The status of the rejection.
    status: u16,
    rounds: usize,
}

/// All cases, for a host with the tenant and plugin of `stage`.
pub fn cases() -> Vec<Case> {
    let refusals = [
        (
            "no credential",
            "POST",
            "private",
            "application/octet-stream",
            401,
        ),
        (
            "no such route",
            "POST",
            "nothing/here",
            "application/octet-stream",
            404,
        ),
        ("another method", "POST", "read", "application/octet-stream", 405),
        ("not JSON", "POST", "checked", "text/plain", 415),
        ("too often", "POST", "seldom", "application/octet-stream", 429),
    ];
    let mut cases = Vec::new();
    for (name, method, path, content_type, status) in refusals {
        // The size is checked before the type.
        let sizes = SIZES
            .iter()
            .copied()
            .filter(|size| status != 415 || *size < MAX_BODY);
        for size in sizes {
            cases.push(Case {
                name: format!("{name}, {size} bytes"),
                method,
                path: format!("/{TENANT}/{PLUGIN}/{path}"),
                headers: json!({ "content-type": content_type }),
                size,
                status,
                rounds: ROUNDS,
            });
        }
    }
    cases.push(Case {
        name: "too large".to_owned(),
        method: "POST",
        path: format!("/{TENANT}/{PLUGIN}/open"),
        headers: json!({ "content-type": "application/octet-stream" }),
        size: 3_000_000,
        status: 413,
        rounds: ROUNDS,
    });
    cases
}
