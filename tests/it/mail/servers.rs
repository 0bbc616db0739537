//! Tests of a tenant's own mail server.

use serde_json::json;

use super::{app, deploy, received, send, until, until_waiting, use_server};
use crate::app::{App, TestTenant};
use crate::smtp::Smtp;

/// Sets the tenant's server.
async fn set(app: &App, tenant: &TestTenant<'_>, server: &Smtp) {
    let settings = json!({
        "host": server.address().ip().to_string(), "port": server.address().port(), "security": "none",
    });
    let reply = app
        .admin("PUT", &tenant.path("/mail/smtp"))
        .json(&settings)
        .send()
        .await;
    assert!(reply.status.is_success(), "{}", reply.text());
}

#[tokio::test]
async fn a_tenant_uses_its_own_server() {
    let (hosts, own) = (Smtp::start().unwrap(), Smtp::start().unwrap());
    let app = App::configured(|config| {
        use_server(config, &hosts);
        config.http_client.allow_loopback = true;
    })
    .await;
    let plugin = deploy(&app).await;
    let id = send(&plugin, "ada@example.org", "by the host").await;
    until(&plugin, &id, "sent").await;
    set(&app, &plugin.tenant, &own).await;
    let id = send(&plugin, "ada@example.org", "by the tenant").await;
    until(&plugin, &id, "sent").await;
    assert_eq!((hosts.messages().len(), own.messages().len()), (1, 1));
    assert_eq!(received(&own, "by the tenant").len(), 1);
}

#[tokio::test]
async fn a_tenants_server_at_a_private_address_is_never_connected() {
    let (hosts, own) = (Smtp::start().unwrap(), Smtp::start().unwrap());
    let app = app(&hosts).await;
    let plugin = deploy(&app).await;
    let settings = json!({ "host": own.address().ip().to_string(), "port": 2525, "security": "none" });
    let path = plugin.tenant.path("/mail/smtp");
    // Either the setting is refused, or the mail waits.
    let reply = app.admin("PUT", &path).json(&settings).send().await;
    if reply.status.is_success() {
        let id = send(&plugin, "ada@example.org", "nowhere").await;
        until_waiting(&plugin, &id).await;
    }
    assert_eq!((own.connections(), hosts.messages().len()), (0, 0));
    // A port for something else than mail is refused in any case.
    let settings = json!({ "host": "mail.example.com", "port": 6379, "security": "none" });
    let reply = app.admin("PUT", &path).json(&settings).send().await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
}
