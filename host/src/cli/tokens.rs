//! `mortise tokens`: tokens for the admin API.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::{CliError, Output};
use crate::domain::role::Role;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List the tokens, without their secrets
    List(Of),
    /// Create a token; it is shown this once
    Create {
        #[command(flatten)]
        of: Of,
        /// What people call it
        name: String,
        /// viewer, developer or owner: what its holder may do in the tenant
        #[arg(
            long,
            required_unless_present = "operator",
            requires = "tenant",
            conflicts_with = "operator"
        )]
        role: Option<Role>,
        /// A token of an operator, for everything on the host
        #[arg(long, conflicts_with = "tenant")]
        operator: bool,
    },
    /// Revoke a token: it stops working at once
    Revoke {
        #[command(flatten)]
        of: Of,
        /// Id of the token
        id: String,
    },
}

/// Whose tokens.
#[derive(Debug, Args)]
pub struct Of {
    /// Name of the tenant; without it, tokens of operators
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
}

impl Of {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let above: &[&str] = match &self.tenant {
            Some(tenant) => &["tenants", tenant, "tokens"],
            None => &["tokens"],
        };
        [above, below].concat()
    }
}

impl Tokens {
    /// Does it.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let columns = [
                    ("ID", "id"),
                    ("NAME", "name"),
                    ("ROLE", "role"),
                    ("CREATED", "created_at"),
                    ("EXPIRES", "expires_at"),
                    ("REVOKED", "revoked_at"),
                ];
                output.table(&client.list(&of.path(&[]))?, &columns)
            }
            Self::Create {
                of,
                name,
                role,
                operator: _,
            } => {
                let body = match role {
                    Some(role) => json!({"name": name, "role": role}),
                    None => json!({"name": name}),
                };
                let token = client.post(&of.path(&[]), &body)?;
                output.news("keep the token now: the host stores only its hash and cannot show it again");
                output.object(&token)
            }
            Self::Revoke { of, id } => {
                client.delete(&of.path(&[&id]))?;
                output.news(format_args!("revoked the token {id}"));
                Ok(())
            }
        }
    }
}
