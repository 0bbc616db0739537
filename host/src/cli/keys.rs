//! `mortise keys`: API keys of a tenant.

use clap::Subcommand;

use super::client::Client;
use super::moment;
use super::output::columns;
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::wire::api_keys::{ApiKeyView, CreatedApiKey, NewApiKey};

/// Subcommands for API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys with their ids, without the credentials
    List(TenantArgument),
    /// Create a key. Its credential is shown only once
    Create {
        #[command(flatten)]
        of: TenantArgument,
        /// Name for people; several keys may have the same
        name: String,
        /// Scopes of the key, separated by commas; `*` stands for all
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Time of expiry: 2026-01-02T03:04:05Z, or 30d from now; never by default
        #[arg(long, value_name = "WHEN", value_parser = moment::ahead)]
        expires: Option<Timestamp>,
    },
    /// Revoke a key. It stops working at once
    Revoke {
        #[command(flatten)]
        of: TenantArgument,
        /// Id of the key, as `keys list` shows it
        id: String,
    },
}

impl Keys {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let keys = client.list(&["tenants", &of.tenant, "api-keys"])?;
                let columns = columns!(ApiKeyView:
                    "ID" => id,
                    "NAME" => name,
                    "SCOPES" => scopes,
                    "CREATED" => created_at,
                    "EXPIRES" => expires_at,
                    "REVOKED" => revoked_at,
                );
                output.table(&keys, &columns)
            }
            Self::Create {
                of,
                name,
                scopes,
                expires,
            } => {
                let body = NewApiKey {
                    name,
                    scopes,
                    expires_at: expires,
                };
                let key: CreatedApiKey = client.post(&["tenants", &of.tenant, "api-keys"], &body)?;
                output.news("keep the key now: the host stores only its hash and cannot show it again");
                output.object(&key)
            }
            Self::Revoke { of, id } => {
                client.delete(&["tenants", &of.tenant, "api-keys", &id])?;
                output.news(format_args!("revoked the key {id}"));
                Ok(())
            }
        }
    }
}
