//! The plugin that receives webhooks, publishes events and sends mail.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::stage::TENANT;

const PLUGIN: &str = "messages";

/// What jobs write.
const TABLES: &str = "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL);";

/// The webhooks with their schemes. Each has two secrets, as during a rotation.
const WEBHOOKS: [(&str, [&str; 2]); 3] = [
    ("stripe", ["whsec_of_the_judge", "whsec_of_the_judge_2"]),
    (
        "standard",
        [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ],
    ),
    ("github", ["a secret of the judge", "another secret of the judge"]),
];

/// A secret that no webhook has.
const FOREIGN: [(&str, &str); 3] = [
    ("stripe", "whsec_of_somebody_else"),
    ("standard", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
    ("github", "a secret of somebody else"),
];

/// The address of the mail server that a judge starts.
pub struct Messages {
    smtp: SocketAddr,
}

impl Messages {
    /// Chooses a free port for the mail server.
    pub fn new() -> Result<Self> {
        // The listener is closed again, so that the judge can open the port.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            smtp: listener.local_addr()?,
        })
    }

    /// Lets the host send mail to the server, and webhooks to this machine.
    pub fn configure(&self, launch: Launch) -> Launch {
        launch
            .set("http_client.allow_loopback", "true")
            .set("mail.host", &self.smtp.ip().to_string())
            .set("mail.port", &self.smtp.port().to_string())
            .set("mail.security", "none")
    }

    /// Deploys the plugin.
    pub fn deploy(&self, host: &Host, tenant: &Tenant) -> Result<()> {
        let mut sections = "[[job]]\nname = 'run'\n".to_owned();
        let mut names = Vec::new();
        for (scheme, values) in WEBHOOKS {
            let secrets = ["a", "b"].map(|suffix| format!("{scheme}_{suffix}"));
            for (name, value) in secrets.iter().zip(values) {
                tenant.secret(name, value)?;
            }
            sections.push_str(&format!(
                "[[webhook]]\nname = '{scheme}'\nscheme = '{scheme}'\nsecrets = {}\njob = 'run'\n",
                json!(secrets)
            ));
            names.extend(secrets);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let guest = Recipe::of(test_artifacts::BACKGROUND)?
            .plugin(PLUGIN)
            .database(&[TABLES])
            .secrets(&names, &[])
            .events(&["judged.*"])
            .email(&["shop@example.com"])
            .with(&sections)
            .guest();
        tenant.deploy(&guest).context("the plugin for messages")?;
        let domains = json!({ "domains": ["example.com"] });
        let path = tenant.path("/mail/sender-domains");
        host.admin().json("PUT", &path, &domains)?.ok().map(drop)
    }

    /// Adds what the judges of messages need to their input.
    pub fn tell(&self, host: &Host, told: &mut Value) -> Result<()> {
        let token = std::fs::read_to_string(host.data().join("operator.token"))?;
        told["plugin"] = json!(format!("/{TENANT}/{PLUGIN}/"));
        told["admin"] = json!({
            "host": host.admin.ip().to_string(),
            "port": host.admin.port(),
            "token": token.trim(),
            "tenant": TENANT,
        });
        told["smtp"] = json!({ "host": self.smtp.ip().to_string(), "port": self.smtp.port() });
        for ((scheme, secrets), (_, foreign)) in WEBHOOKS.iter().zip(FOREIGN) {
            told["webhooks"][*scheme] = json!({
                "path": format!("/{TENANT}/-/webhooks/{PLUGIN}/{scheme}"),
                "secrets": secrets,
                "foreign": foreign,
            });
        }
        Ok(())
    }
}
