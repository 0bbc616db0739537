//! `mortise mail sender-domains`, `smtp` and `failures`: the settings of mail.

use clap::{Args, Subcommand};

use super::super::client::Client;
use super::super::output::columns;
use super::super::{CliError, Output, TenantArgument};
use crate::domain::mail_failures::{MailFailureRule, MailFailures, SimulatedFailure};
use crate::domain::smtp::{SmtpSecurity, SmtpSettings};
use crate::wire::mail_settings::{SenderDomainsView, SmtpView};

/// Subcommands for sender domains.
#[derive(Debug, Subcommand)]
pub enum SenderDomains {
    /// Show the domains from which the tenant may send
    Show(TenantArgument),
    /// Replace the domains from which the tenant may send; for operators
    Set {
        #[command(flatten)]
        of: TenantArgument,
        /// The domains; without one, the tenant may send from none by the host's mail server
        #[arg(value_name = "DOMAIN")]
        domains: Vec<String>,
    },
}

/// Subcommands for the tenant's own mail server.
#[derive(Debug, Subcommand)]
pub enum Smtp {
    /// Show the tenant's own mail server
    Show(TenantArgument),
    /// Set the tenant's own mail server; for owners
    Set(SetSmtp),
    /// Remove the tenant's own mail server: its mail goes to that of the host, or to the catcher
    Delete(TenantArgument),
}

/// Arguments of `mortise mail smtp set`.
#[derive(Debug, Args)]
pub struct SetSmtp {
    #[command(flatten)]
    of: TenantArgument,
    /// Name of the mail server
    server: String,
    /// Port: 25, 465, 587 or 2525
    #[arg(long, default_value_t = 587)]
    port: u16,
    /// Protection of the connection: tls, starttls or none
    #[arg(long, default_value = "starttls", value_parser = parse_security)]
    security: SmtpSecurity,
    /// User name
    #[arg(long, value_name = "NAME", requires = "password_secret")]
    username: Option<String>,
    /// The tenant's secret with the password; `mortise secrets set` sets it
    #[arg(long, value_name = "NAME", requires = "username")]
    password_secret: Option<String>,
}

/// Subcommands for simulated failures.
#[derive(Debug, Subcommand)]
pub enum Failures {
    /// Show the failures that the catcher simulates
    Show(TenantArgument),
    /// Replace the failures that the catcher simulates; the first rule that matches decides
    Set {
        #[command(flatten)]
        of: TenantArgument,
        /// RECIPIENT=FAILURE or RECIPIENT=FAILURE:PERCENT. The recipient is an address,
        /// *@example.com or *; the failure is connection, temporary or permanent
        #[arg(required = true, value_name = "RULE", value_parser = parse_rule)]
        rules: Vec<MailFailureRule>,
    },
    /// Let nothing fail
    Clear(TenantArgument),
}

impl SenderDomains {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let view: SenderDomainsView = match self {
            Self::Show(of) => client.get(&["tenants", &of.tenant, "mail", "sender-domains"])?,
            Self::Set { of, domains } => {
                let body = SenderDomainsView {
                    domains: domains.into_iter().collect(),
                };
                client.put(&["tenants", &of.tenant, "mail", "sender-domains"], &body)?
            }
        };
        output.object(&view)
    }
}

impl Smtp {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Show(of) => {
                let view: SmtpView = client.get(&["tenants", &of.tenant, "mail", "smtp"])?;
                if view.server.is_none() && !output.is_json() {
                    output
                        .news("the tenant has no mail server of its own: its mail goes to that of the host");
                    return Ok(());
                }
                show(&view, &of.tenant, output)
            }
            Self::Set(SetSmtp {
                of,
                server,
                port,
                security,
                username,
                password_secret,
            }) => {
                let settings = SmtpSettings {
                    host: server,
                    port,
                    security,
                    username,
                    password_secret,
                };
                let view: SmtpView = client.put(&["tenants", &of.tenant, "mail", "smtp"], &settings)?;
                show(&view, &of.tenant, output)
            }
            Self::Delete(of) => {
                client.delete(&["tenants", &of.tenant, "mail", "smtp"])?;
                output.news("removed; mail goes to the server of the host, or to the catcher");
                Ok(())
            }
        }
    }
}

impl Failures {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let failures: MailFailures = match self {
            Self::Show(of) => client.get(&["tenants", &of.tenant, "mail", "failures"])?,
            Self::Set { of, rules } => put(client, &of, rules)?,
            Self::Clear(of) => put(client, &of, Vec::new())?,
        };
        let columns = columns!(MailFailureRule:
            "RECIPIENT" => recipient,
            "FAILURE" => failure,
            "PERCENT" => probability,
        );
        output.table(&failures.rules, &columns)
    }
}

fn put(client: &Client, of: &TenantArgument, rules: Vec<MailFailureRule>) -> Result<MailFailures, CliError> {
    let path = ["tenants", &of.tenant, "mail", "failures"];
    client.put(&path, &MailFailures { rules })
}

fn show(view: &SmtpView, tenant: &str, output: &mut Output) -> Result<(), CliError> {
    output.object(view)?;
    let server = view.server.as_ref();
    let secret = server.and_then(|server| server.password_secret.as_deref());
    if let (Some(secret), Some(false)) = (secret, view.password_is_set) {
        output.news(format_args!(
            "the secret {secret} is not set yet: `mortise secrets set {secret} --tenant {tenant}`"
        ));
    }
    Ok(())
}

fn parse_security(text: &str) -> Result<SmtpSecurity, &'static str> {
    match text {
        "tls" => Ok(SmtpSecurity::Tls),
        "starttls" => Ok(SmtpSecurity::Starttls),
        "none" => Ok(SmtpSecurity::None),
        _ => Err("it is one of tls, starttls, none"),
    }
}

fn parse_rule(text: &str) -> Result<MailFailureRule, String> {
    // An address may contain `=`.
    let (recipient, failure) = text
        .rsplit_once('=')
        .ok_or("write it as RECIPIENT=FAILURE, such as *@example.com=temporary:50")?;
    let (failure, percent) = match failure.split_once(':') {
        Some((failure, percent)) => (failure, percent),
        None => (failure, "100"),
    };
    Ok(MailFailureRule {
        recipient: recipient.to_owned(),
        failure: match failure {
            "connection" => SimulatedFailure::Connection,
            "temporary" => SimulatedFailure::Temporary,
            "permanent" => SimulatedFailure::Permanent,
            _ => return Err("the failure is one of connection, temporary, permanent".to_owned()),
        },
        probability: percent
            .parse()
            .map_err(|_| format!("`{percent}` is not a number from 1 to 100"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_recipient_failure_and_percent() {
        let rule = parse_rule("a=b@example.com=temporary:50").unwrap();
        assert_eq!(
            (rule.recipient.as_str(), rule.failure, rule.probability),
            ("a=b@example.com", SimulatedFailure::Temporary, 50)
        );
        assert_eq!(parse_rule("*=permanent").unwrap().probability, 100);
        for wrong in ["*", "*=often", "*=permanent:many", "*=permanent:300"] {
            assert!(parse_rule(wrong).is_err(), "{wrong}");
        }
    }
}
