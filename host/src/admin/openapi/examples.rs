//! Examples of request bodies, by operation id. A test sends each to the API.

use serde_json::{Value, json};

/// The example for the body of an operation.
pub fn of(operation: &str) -> Option<Value> {
    Some(match operation {
        "tenants_create" => json!({ "name": "acme", "plan": "standard", "limits": { "concurrency": 16 } }),
        "tenants_change" => json!({ "limits": { "memory": "128MiB", "cpu": "100ms" }, "suspended": false }),
        "plans_put" => json!({ "limits": { "memory": "128MiB", "cpu": "200ms", "database_size": "1GiB" } }),
        "plugins_change" => json!({ "disabled": true }),
        "settings_put_grants" => json!({
            "database": true,
            "http": ["https://payments.example"],
            "secrets": { "use": [{ "name": "payment_key", "origins": ["https://payments.example"] }], "reveal": [] },
        }),
        "settings_put_config" => json!({ "currency": "EUR", "retries": "3" }),
        "settings_put_setting" => json!({ "value": "EUR" }),
        "secrets_put" => json!({ "value": "sk_live_0123456789" }),
        "api_keys_create" => {
            json!({ "name": "web shop", "scopes": ["orders:read"], "expires_at": "2099-01-01T00:00:00Z" })
        }
        "tokens_create" => json!({ "name": "Ada", "role": "owner", "expires_at": "2099-01-01T00:00:00Z" }),
        "tokens_create_host" => json!({ "name": "prometheus", "role": "metrics" }),
        "webhooks_create_endpoint" => json!({
            "url": "https://hooks.example.com/mortise", "topics": ["order.*"], "description": "the accounting system",
        }),
        "webhooks_change_endpoint" => {
            json!({ "topics": ["order.>", "payment.settled"], "rate_per_minute": 600 })
        }
        "webhooks_rotate_secret" => json!({ "grace": "24h" }),
        "webhooks_test_endpoint" => json!({ "type": "order.created", "data": { "order": 7 } }),
        "mail_suppress" => json!({ "address": "ada@example.com", "note": "asked by phone" }),
        "mail_put_sender_domains" => json!({ "domains": ["example.com"] }),
        "mail_put_smtp" => json!({
            "host": "smtp.example.com",
            "port": 587,
            "security": "starttls",
            "username": "shop",
            "password_secret": "smtp_password",
        }),
        "mail_put_failures" => json!({
            "rules": [{ "recipient": "*@example.com", "failure": "temporary", "probability": 50 }],
        }),
        "activations_put" => json!({
            "version": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        }),
        _ => return None,
    })
}
