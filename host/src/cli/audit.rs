//! `mortise audit`: who changed what.

use clap::Args;

use super::client::Client;
use super::moment;
use super::{CliError, Output};
use crate::domain::clock::Timestamp;

/// Whose log.
#[derive(Debug, Args)]
pub struct Audit {
    /// Name of the tenant; without it, changes to the host itself
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    /// Changes to the host itself, whatever MORTISE_TENANT says
    #[arg(long)]
    host_only: bool,
    /// Only what this token did, by its name or id
    #[arg(long, value_name = "TOKEN")]
    actor: Option<String>,
    /// Only this action, such as plugin.activate, or secret.* for all that begin so
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only entries since then: 2026-01-02T03:04:05Z, or 30d ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    since: Option<Timestamp>,
    /// So many entries, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Audit {
    /// Lists changes, the newest first.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let path: &[&str] = match &self.tenant {
            Some(tenant) if !self.host_only => &["tenants", tenant, "audit"],
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
