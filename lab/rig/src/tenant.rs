//! A tenant of a running host, and the operations on it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::host::Host;
use crate::http::{Http, Reply};

/// A tenant. If it was created here, it is deleted when this is dropped.
pub struct Tenant {
    admin: Http,
    http: Http,
    listener: SocketAddr,
    /// Its name.
    pub name: String,
    is_ours: bool,
}

impl Tenant {
    pub(super) fn create(host: &Host, name: &str) -> Result<Self> {
        host.admin()
            .post("/api/v1/tenants", &json!({ "name": name }))?
            .is("201")?;
        let mut tenant = Self::known(host, name);
        tenant.is_ours = true;
        Ok(tenant)
    }

    pub(super) fn known(host: &Host, name: &str) -> Self {
        Self::known_to(host, host.admin(), host.http(), name)
    }

    pub(super) fn known_to(host: &Host, admin: Http, http: Http, name: &str) -> Self {
        Self {
            admin,
            http,
            listener: host.admin,
            name: name.to_owned(),
            is_ours: false,
        }
    }

    /// Keeps the tenant when this is dropped.
    pub fn keep(mut self) -> Self {
        self.is_ours = false;
        self
    }

    /// A path of the admin API below the tenant's.
    pub fn path(&self, below: &str) -> String {
        format!("/api/v1/tenants/{}{below}", self.name)
    }

    /// Changes limits of the tenant.
    pub fn limit(&self, limits: &Value) -> Result<()> {
        let body = json!({ "limits": limits });
        self.admin.json("PATCH", &self.path(""), &body)?.ok().map(|_| ())
    }

    /// Uploads bytes as a version of a plugin.
    pub fn upload(&self, plugin: &str, component: &[u8]) -> Result<Reply> {
        let path = self.path(&format!("/plugins/{plugin}/versions"));
        self.admin
            .send("POST", &path, Some(("application/wasm", component)))
    }

    /// Activates a version of a plugin.
    pub fn activate(&self, plugin: &str, version: &str) -> Result<Reply> {
        let path = self.path(&format!("/plugins/{plugin}/activation"));
        self.admin.json("PUT", &path, &json!({ "version": version }))
    }

    /// Grants a plugin this and nothing else.
    pub fn grant(&self, plugin: &str, grants: &Value) -> Result<()> {
        self.send_grant(plugin, grants)?.ok().map(|_| ())
    }

    /// Sets the grants of a plugin, and returns the response.
    pub fn send_grant(&self, plugin: &str, grants: &Value) -> Result<Reply> {
        let path = self.path(&format!("/plugins/{plugin}/grants"));
        self.admin.json("PUT", &path, grants)
    }

    /// Uploads a guest, grants its requests, and activates it. Returns its version.
    pub fn deploy(&self, guest: &Guest) -> Result<String> {
        let uploaded = self
            .upload(&guest.plugin, &guest.component)?
            .ok()
            .context("an upload")?;
        let version = uploaded["version"]
            .as_str()
            .context("an upload has a version")?
            .to_owned();
        if !guest.grants.is_null() {
            self.grant(&guest.plugin, &guest.grants).context("grants")?;
        }
        self.activate(&guest.plugin, &version)?
            .ok()
            .context("an activation")?;
        Ok(version)
    }

    /// Sets a secret.
    pub fn secret(&self, name: &str, value: &str) -> Result<()> {
        let path = self.path(&format!("/secrets/{name}"));
        self.admin
            .json("PUT", &path, &json!({ "value": value }))?
            .ok()
            .map(|_| ())
    }

    /// Creates an API key. Returns its id and its credential.
    pub fn key(&self, scopes: &[&str]) -> Result<(String, String)> {
        let body = json!({ "name": "rig", "scopes": scopes });
        let made = self.admin.post(&self.path("/api-keys"), &body)?.ok()?;
        let text = |member: &str| made[member].as_str().unwrap_or_default().to_owned();
        Ok((text("id"), text("credential")))
    }

    /// Creates an admin API token of the tenant, and returns a client with it.
    pub fn person(&self, role: &str) -> Result<Http> {
        let body = json!({ "name": "rig", "role": role });
        let made = self.admin.post(&self.path("/tokens"), &body)?.ok()?;
        let credential = made["credential"].as_str().context("a token has a credential")?;
        Ok(Http::new(self.listener).bearer(credential))
    }

    /// Calls a plugin with `GET`.
    pub fn get(&self, plugin: &str, path: &str) -> Result<Reply> {
        self.http.get(&format!("/{}/{plugin}{path}", self.name))
    }

    /// Calls a plugin with a JSON body.
    pub fn post(&self, plugin: &str, path: &str, body: &Value) -> Result<Reply> {
        self.http.post(&format!("/{}/{plugin}{path}", self.name), body)
    }

    /// Calls a plugin with a body that is JSON text.
    pub fn post_text(&self, plugin: &str, path: &str, json: &str) -> Result<Reply> {
        let path = format!("/{}/{plugin}{path}", self.name);
        self.http
            .send("POST", &path, Some(("application/json", json.as_bytes())))
    }

    /// The record of the invocation that returned `reply`.
    pub fn record(&self, reply: &Reply) -> Result<Value> {
        // A request for the list flushes pending records.
        self.admin.get(&self.path("/invocations?limit=1"))?.ok()?;
        let path = self.path(&format!("/invocations/{}", reply.header("x-request-id")));
        self.admin.get(&path)?.ok().context("its record")
    }

    /// The last records, the newest first.
    pub fn records(&self, limit: u32) -> Result<Vec<Value>> {
        let page = self
            .admin
            .get(&self.path(&format!("/invocations?limit={limit}")))?
            .ok()?;
        page["items"].as_array().cloned().context("a list of records")
    }

    /// The log lines of the invocation that returned `reply`, in order.
    pub fn log(&self, reply: &Reply) -> Result<Vec<Value>> {
        let id = reply.header("x-request-id");
        let page = self
            .admin
            .get(&self.path(&format!("/logs?limit=200&invocation={id}")))?
            .ok()?;
        let mut lines = page["items"].as_array().cloned().context("a list of lines")?;
        lines.reverse();
        Ok(lines)
    }

    /// Deletes the tenant with all its data.
    pub fn delete(&mut self) -> Result<()> {
        self.is_ours = false;
        let reply = self.admin.send("DELETE", &self.path("?purge=true"), None)?;
        ensure!(
            reply.status == 204 || reply.status == 404,
            "{}: {}",
            reply.seen(),
            reply.text()
        );
        Ok(())
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if self.is_ours {
            // If this fails, the leak check reports it.
            let _ = self.delete();
        }
    }
}
