//! A plugin that returns its own version.

use serde_json::json;
use test_artifacts::CAPABILITIES;

use super::http::{Http, Reply};
use crate::shared::{bundled, open_manifest};

/// Its path on the public listener.
pub const PLUGIN: &str = "/acme/capabilities";

const ADMIN: &str = "/api/v1/tenants/acme/plugins/capabilities";

/// The bytes of one version.
pub fn component(version: &str) -> Vec<u8> {
    let manifest = open_manifest("capabilities", "").replace("1.0.0", version);
    bundled(CAPABILITIES, &manifest, &[])
}

/// Creates its tenant.
#[track_caller]
pub fn tenant(operator: &Http) {
    operator
        .post("/api/v1/tenants", &json!({ "name": "acme" }))
        .expect(201);
}

/// Uploads and activates a version, or returns the error.
pub fn deploy(operator: &Http, version: &str) -> Result<(), String> {
    let digest = upload(operator, version)?;
    let body = json!({ "version": digest }).to_string();
    let body = Some(("application/json", body.as_bytes()));
    accepted(operator.send("PUT", &format!("{ADMIN}/activation"), body)).map(|_| ())
}

/// Uploads and activates another component as a public plugin of the tenant.
#[track_caller]
pub fn deploy_guest(operator: &Http, name: &str, guest: &str) {
    let plugin = format!("/api/v1/tenants/acme/plugins/{name}");
    let component = bundled(guest, &open_manifest(name, ""), &[]);
    let upload = operator.send(
        "POST",
        &format!("{plugin}/versions"),
        Some(("application/wasm", &component)),
    );
    let version = upload.unwrap().expect(201)["version"].clone();
    let activation = operator.json(
        "PUT",
        &format!("{plugin}/activation"),
        &json!({ "version": version }),
    );
    assert_eq!(activation.status, 200, "{}", activation.text());
}

/// Uploads a version and returns its digest, or the error.
fn upload(operator: &Http, version: &str) -> Result<String, String> {
    let component = component(version);
    let path = format!("{ADMIN}/versions");
    let reply = accepted(operator.send("POST", &path, Some(("application/wasm", &component))))?;
    Ok(reply.body()["version"].as_str().unwrap_or_default().to_owned())
}

/// The version that answered `GET …/context`, or the whole response if it is an error.
pub fn version(reply: &Reply) -> String {
    match reply.body()["version"].as_str() {
        Some(version) if reply.status == 200 => version.to_owned(),
        _ => format!("{}: {}", reply.status, reply.text()),
    }
}

fn accepted(sent: Result<Reply, ureq::Error>) -> Result<Reply, String> {
    let reply = sent.map_err(|error| error.to_string())?;
    if reply.status < 300 {
        Ok(reply)
    } else {
        Err(reply.text())
    }
}
