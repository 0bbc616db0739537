//! `mortise tokens`: tokens for the admin API.

use clap::{Args, Subcommand};

use super::client::Client;
use super::moment;
use super::output::columns;
use super::{CliError, Output};
use crate::domain::clock::Timestamp;
use crate::domain::token::TenantRole;
use crate::wire::tokens::{CreatedToken, HostRole, NewHostToken, NewTenantToken, TokenView};

/// Subcommands for tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List the tokens with their ids, without the credentials
    List(Of),
    /// Create a token. Its credential is shown only once
    Create {
        #[command(flatten)]
        of: Of,
        /// Name for people; several tokens may have the same
        name: String,
        /// Role of its holder: viewer, developer or owner in the tenant; metrics reads the metrics
        /// of the host and belongs to no tenant
        #[arg(long, value_parser = parse_role, conflicts_with = "operator")]
        role: Option<String>,
        /// Time of expiry: 2026-01-02T03:04:05Z, or 30d from now; never by default
        #[arg(long, value_name = "WHEN", value_parser = moment::ahead)]
        expires: Option<Timestamp>,
    },
    /// Revoke a token. It stops working at once
    Revoke {
        #[command(flatten)]
        of: Of,
        /// Id of the token, as `tokens list` shows it
        id: String,
    },
}

/// Options that select the owner of tokens.
#[derive(Debug, Args)]
pub struct Of {
    /// Name of the tenant [env: MORTISE_TENANT]
    // clap does not read the variable, since `--operator` may be combined with it, but not with the
    // argument.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Without a tenant: tokens of operators, who may do everything on the host
    #[arg(long, conflicts_with = "tenant")]
    operator: bool,
}

/// The tenant of the tokens; `None` for tokens of the host.
struct Owner(Option<String>);

impl Of {
    fn owner(self) -> Owner {
        let variable = || {
            std::env::var("MORTISE_TENANT")
                .ok()
                .filter(|name| !name.is_empty())
        };
        Owner(match self.operator {
            true => None,
            false => self.tenant.or_else(variable),
        })
    }
}

impl Owner {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let above: &[&str] = match &self.0 {
            Some(tenant) => &["tenants", tenant, "tokens"],
            None => &["tokens"],
        };
        [above, below].concat()
    }
}

/// The error if the owner of a new token is not given.
const WHOSE: &str = "name the owner of the token: `--tenant NAME --role viewer`, `developer` or `owner` for \
    a tenant's people, `--operator` for an operator of the host, or `--role metrics` for reading its \
    metrics";

/// The role that only reads metrics. It belongs to no tenant.
const METRICS: &str = "metrics";

fn parse_role(text: &str) -> Result<String, &'static str> {
    match text {
        "viewer" | "developer" | "owner" | METRICS => Ok(text.to_owned()),
        "operator" => Err("`--operator` creates a token of an operator, without --tenant and --role"),
        _ => Err(
            "the roles of a tenant are viewer, developer and owner; `--operator` creates an operator's token",
        ),
    }
}

impl Tokens {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(of) => {
                let columns = columns!(TokenView:
                    "ID" => id,
                    "NAME" => name,
                    "ROLE" => role,
                    "CREATED" => created_at,
                    "EXPIRES" => expires_at,
                    "REVOKED" => revoked_at,
                );
                output.table(&client.list(&of.owner().path(&[]))?, &columns)
            }
            Self::Create {
                of,
                name,
                role,
                expires,
            } => {
                let is_metrics = role.as_deref() == Some(METRICS);
                let is_of_the_host = of.operator || (is_metrics && of.tenant.is_none());
                let owner = match is_of_the_host {
                    true => Owner(None),
                    false => of.owner(),
                };
                let of_the_host = |name, role| NewHostToken {
                    name,
                    role,
                    expires_at: expires,
                };
                let path = owner.path(&[]);
                let token: CreatedToken = match (role, &owner.0) {
                    (Some(role), Some(_)) if !is_metrics => {
                        let role =
                            TenantRole::try_from(role).map_err(|error| CliError::Usage(error.to_string()))?;
                        let body = NewTenantToken {
                            name,
                            role: Some(role),
                            expires_at: expires,
                        };
                        client.post(&path, &body)?
                    }
                    (Some(_), None) if is_metrics => {
                        client.post(&path, &of_the_host(name, HostRole::Metrics))?
                    }
                    (None, None) if is_of_the_host => {
                        client.post(&path, &of_the_host(name, HostRole::Operator))?
                    }
                    _ => return Err(CliError::Usage(WHOSE.to_owned())),
                };
                output.news("keep the token now: the host stores only its hash and cannot show it again");
                output.object(&token)
            }
            Self::Revoke { of, id } => {
                client.delete(&of.owner().path(&[&id]))?;
                output.news(format_args!("revoked the token {id}"));
                Ok(())
            }
        }
    }
}
