//! A tenant of a test's host, and its operations in the admin API.

use mortise::components::bundle::Bundle;
use serde_json::{Value, json};

use super::{App, Reply, bundled};

pub struct TestTenant<'a> {
    app: &'a App,
    pub name: String,
}

impl<'a> TestTenant<'a> {
    pub(super) async fn create(app: &'a App, name: &str) -> Self {
        app.admin("POST", "/tenants")
            .json(&json!({ "name": name }))
            .send()
            .await
            .expect(201);
        Self::known(app, name)
    }

    pub(super) fn known(app: &'a App, name: &str) -> Self {
        Self {
            app,
            name: name.to_owned(),
        }
    }

    /// A path below the tenant's in the admin API.
    pub fn path(&self, below: &str) -> String {
        format!("/tenants/{}{below}", self.name)
    }

    /// Uploads a component.
    pub async fn upload(&self, plugin: &str, component: Vec<u8>) -> Reply {
        let path = self.path(&format!("/plugins/{plugin}/versions"));
        self.app
            .admin("POST", &path)
            .header("content-type", "application/wasm")
            .body(component)
            .send()
            .await
    }

    /// Activates a version.
    pub async fn activate(&self, plugin: &str, version: &str) -> Reply {
        let path = self.path(&format!("/plugins/{plugin}/activation"));
        self.app
            .admin("PUT", &path)
            .json(&json!({ "version": version }))
            .send()
            .await
    }

    /// Replaces the grants of a plugin.
    pub async fn grant(&self, plugin: &str, grants: &Value) {
        let path = self.path(&format!("/plugins/{plugin}/grants"));
        self.app.admin("PUT", &path).json(grants).send().await.expect(200);
    }

    /// Uploads a bundled component, grants its requests, and activates it. Returns its version.
    pub async fn deploy_bundled(&self, component: Vec<u8>) -> String {
        let manifest = Bundle::extract(&component).unwrap().manifest;
        let plugin = manifest.plugin.name.to_string();
        let uploaded = self.upload(&plugin, component).await;
        assert!(uploaded.status.is_success(), "{}", uploaded.text());
        let version = uploaded.json()["version"].as_str().unwrap().to_owned();
        let grants = mortise::domain::grant::Grants::asked_by(&manifest);
        self.grant(&plugin, &serde_json::to_value(grants).unwrap()).await;
        self.activate(&plugin, &version).await.expect(200);
        version
    }

    /// Deploys a guest of `tests/guests` under `manifest`, with these further files of its folder.
    pub async fn deploy(&self, guest: &str, manifest: &str, files: &[(&str, &str)]) -> String {
        self.deploy_bundled(bundled(guest, manifest, files)).await
    }

    /// Sets the settings of a plugin.
    pub async fn configure(&self, plugin: &str, config: &Value) {
        let path = self.path(&format!("/plugins/{plugin}/config"));
        self.app.admin("PUT", &path).json(config).send().await.expect(200);
    }

    /// Sets a secret.
    pub async fn secret(&self, name: &str, value: &str) {
        let path = self.path(&format!("/secrets/{name}"));
        let reply = self
            .app
            .admin("PUT", &path)
            .json(&json!({ "value": value }))
            .send()
            .await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }

    /// Creates an API key with these scopes.
    pub async fn key(&self, scopes: &[&str]) -> String {
        self.key_from(&json!({ "name": "test", "scopes": scopes }))
            .await
            .1
    }

    /// Creates an API key with this request body. Returns its id and its credential.
    pub async fn key_from(&self, body: &Value) -> (String, String) {
        let made = self
            .app
            .admin("POST", &self.path("/api-keys"))
            .json(body)
            .send()
            .await
            .expect(201)
            .json();
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        (text("id"), text("credential"))
    }

    /// The record of the invocation that returned `reply`.
    pub async fn invocation(&self, reply: &Reply) -> Value {
        self.app.host.flush().await;
        let path = self.path(&format!("/invocations/{}", reply.header("x-request-id")));
        self.app.admin("GET", &path).send().await.expect(200).json()
    }

    /// The log lines of the invocation that returned `reply`, in order.
    pub async fn log(&self, reply: &Reply) -> Vec<Value> {
        self.app.host.flush().await;
        let id = reply.header("x-request-id");
        let path = self.path(&format!("/logs?limit=200&invocation={id}"));
        let page = self.app.admin("GET", &path).send().await.expect(200).json();
        let mut lines = page["items"].as_array().unwrap().clone();
        lines.reverse();
        lines
    }

    /// Disables or enables a plugin.
    pub async fn disable(&self, plugin: &str, disabled: bool) {
        let path = self.path(&format!("/plugins/{plugin}"));
        let body = json!({ "disabled": disabled });
        self.app
            .admin("PATCH", &path)
            .json(&body)
            .send()
            .await
            .expect(200);
    }

    /// Suspends or resumes the tenant.
    pub async fn suspend(&self, suspended: bool) {
        let body = json!({ "suspended": suspended });
        self.app
            .admin("PATCH", &self.path(""))
            .json(&body)
            .send()
            .await
            .expect(200);
    }

    /// Changes limits of the tenant.
    pub async fn limit(&self, limits: &Value) {
        let body = json!({ "limits": limits });
        self.app
            .admin("PATCH", &self.path(""))
            .json(&body)
            .send()
            .await
            .expect(200);
    }
}
