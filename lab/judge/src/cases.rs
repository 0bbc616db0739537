//! What every HTTP client sends: requests that the host refuses before it has read their bodies.

use serde::Serialize;
use serde_json::{Value, json};

use crate::stage::{PLUGIN, TENANT};

/// Bytes of the bodies: from what fits into the first packet to what no buffer on the way holds.
const SIZES: [usize; 5] = [20, 2_000, 200_000, 1_100_000, 3_000_000];

/// The largest body that the plan allows (limit `request_body`).
const MAX_BODY: usize = 1_048_576;

/// How often each case is sent.
const ROUNDS: usize = 10;

/// A request that is refused.
#[derive(Serialize)]
pub struct Case {
    name: String,
    method: &'static str,
    path: String,
    headers: Value,
    /// Bytes of the body.
    size: usize,
    /// The status of the refusal.
    status: u16,
    rounds: usize,
}

/// All of them, for a host with a tenant and a plugin that `stage` has made.
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
        // The size is looked at before the type.
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
