//! `mortise components`: the stored components of all tenants.

use clap::Subcommand;

use super::client::Client;
use super::output::columns;
use super::{CliError, Output};
use crate::wire::components::{AuditedVersion, StoredComponentView};

/// Subcommands for components.
#[derive(Debug, Subcommand)]
pub enum Components {
    /// List the stored components of all tenants
    List,
    /// List the versions that match --uses, or that this host refuses
    Audit {
        /// A rule: proposal:simd, instruction:call_indirect, instruction:v128.*,
        /// import:wasi:random/*
        #[arg(long, value_name = "RULE")]
        uses: Option<String>,
    },
}

impl Components {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let uses = match self {
            Self::Audit { uses } => uses,
            Self::List => {
                let found = client.list(&["components"])?;
                let columns = columns!(StoredComponentView:
                    "VERSION" => version,
                    "SIZE" => size,
                    "STORED" => stored_at,
                    "USED" => used,
                    "COMPILED" => compiled,
                );
                return output.table(&found, &columns);
            }
        };
        let mut query: Vec<(&str, &str)> = Vec::new();
        if let Some(rule) = &uses {
            query.push(("uses", rule.as_str()));
        }
        let found = client.list_where(&["components", "audit"], &query)?;
        let columns = columns!(AuditedVersion:
            "TENANT" => tenant,
            "PLUGIN" => plugin,
            "VERSION" => version,
            "ACTIVE" => active,
            "RULES" => rules,
            "UNKNOWN" => unknown,
        );
        output.table(&found, &columns)
    }
}
