//! `mortise audit`: who changed what.

use clap::Args;

use super::client::Client;
use super::moment;
use super::{CliError, Output};
use crate::domain::clock::Timestamp;

/// Arguments of `mortise audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Name of the tenant; without it, the entries of the host and of all tenants
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    /// The entries of the host and of all tenants, even if MORTISE_TENANT is set
    #[arg(long)]
    all: bool,
    /// Only what this token did, by its name or id
    #[arg(long, value_name = "TOKEN")]
    actor: Option<String>,
    /// Only this action, such as plugin.activate; `secret.*` matches every action with this prefix
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only entries after this time: 2026-01-02T03:04:05Z, or 30d ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    since: Option<Timestamp>,
    /// Number of entries, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Audit {
    /// Lists changes, the newest first.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let path: &[&str] = match &self.tenant {
            Some(tenant) if !self.all => &["tenants", tenant, "audit"],
            _ => &["audit"],
        };
        let since = self.since.map(|since| since.to_string());
        let mut filter = Vec::new();
        filter.extend(self.actor.as_deref().map(|actor| ("actor", actor)));
        filter.extend(self.action.as_deref().map(|action| ("action", action)));
        filter.extend(since.as_deref().map(|since| ("from", since)));
        let mut entries = client.first(path, &filter, self.limit)?;
        if !output.is_json() {
            // People know the names of tokens; entries of earlier hosts have the ids alone.
            for entry in &mut entries {
                let named = entry["actor_name"].is_string();
                entry["who"] = entry[if named { "actor_name" } else { "actor" }].clone();
            }
        }
        let columns = [
            ("AT", "at"),
            ("WHO", "who"),
            ("ACTION", "action"),
            ("SUBJECT", "subject"),
        ];
        output.table(&entries, &columns)
    }
}
