//! `mortise mail`: what plugins sent, what became of it, and the settings of mail.

mod filter;
mod settings;
mod suppressions;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::job_filter::pairs;
use super::output::{columns, printable};
use super::{CliError, Output, TenantArgument, confirmed};
use crate::wire::mail::{AttachmentView, DeletedMailView, MailDetail, MailView, RecipientView};
use filter::{ListOptions, SelectionOptions};

/// Subcommands for mail.
#[derive(Debug, Subcommand)]
pub enum Mail {
    /// List mail, the newest first
    List(List),
    /// Find mail by recipient, tag, or a text in the subject, the text part or an address
    Search(Search),
    /// Show a mail and what became of it for each recipient
    Show(OneMail),
    /// Write a whole mail as it is handed to servers, attachments included
    Source(Content),
    /// Write the text part of a mail
    Text(Content),
    /// Write the HTML part of a mail
    Html(Content),
    /// Send a mail again: to the recipients that did not accept it, or to all if all have
    Resend(OneMail),
    /// Delete a mail with its content; one that waits is not sent any more
    Delete(OneMail),
    /// Delete mail with its content, for example all mail to a person
    Purge(Purge),
    /// Write mail with its content, one JSON object per line
    Export(Export),
    /// Addresses to which plugins send no mail
    #[command(subcommand)]
    Suppressions(suppressions::Suppressions),
    /// The domains from which a tenant may send
    #[command(subcommand)]
    SenderDomains(settings::SenderDomains),
    /// The tenant's own mail server
    #[command(subcommand)]
    Smtp(settings::Smtp),
    /// Failures that the mail catcher simulates
    #[command(subcommand)]
    Failures(settings::Failures),
}

/// Arguments of `mortise mail list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: ListOptions,
    /// Number of mails, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Arguments of `mortise mail search`.
#[derive(Debug, Args)]
pub struct Search {
    #[command(flatten)]
    of: TenantArgument,
    /// Text in the subject, the text part or an address, whatever its case
    text: Option<String>,
    #[command(flatten)]
    filter: SelectionOptions,
    /// Number of mails, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// A mail.
#[derive(Debug, Args)]
pub struct OneMail {
    #[command(flatten)]
    of: TenantArgument,
    /// Its id
    id: String,
}

/// A mail, and where its content is written.
#[derive(Debug, Args)]
pub struct Content {
    #[command(flatten)]
    mail: OneMail,
    /// File to write; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Arguments of `mortise mail purge`.
#[derive(Debug, Args)]
pub struct Purge {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: SelectionOptions,
    /// The name of the tenant again, to confirm: without a filter, all of its mail is deleted
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// Arguments of `mortise mail export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    filter: SelectionOptions,
    /// File to write; by default standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Mail {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::List(List { of, filter, limit }) => {
                let path = ["tenants", &of.tenant, "mail"];
                table(&client.first(&path, &pairs(&filter.query()), limit)?, output)
            }
            Self::Search(Search {
                of,
                text,
                filter,
                limit,
            }) => {
                let path = ["tenants", &of.tenant, "mail", "search"];
                let mut query = filter.query();
                query.extend(text.map(|text| ("q", text)));
                table(&client.first(&path, &pairs(&query), limit)?, output)
            }
            Self::Show(mail) => show(&client.get(&mail.path(&[]))?, output),
            Self::Source(content) => content.write("source", client, output),
            Self::Text(content) => content.write("text", client, output),
            Self::Html(content) => content.write("html", client, output),
            Self::Resend(mail) => {
                let detail: MailDetail = client.post_where(&mail.path(&["resend"]), &[])?;
                output.news(format_args!(
                    "the mail {} is sent again by the job {}",
                    mail.id, detail.mail.job
                ));
                show(&detail, output)
            }
            Self::Delete(mail) => {
                client.delete(&mail.path(&[]))?;
                output.news(format_args!("deleted the mail {}", mail.id));
                Ok(())
            }
            Self::Purge(Purge { of, filter, confirm }) => {
                confirmed(&of.tenant, &confirm)?;
                let path = ["tenants", &of.tenant, "mail"];
                let deleted: DeletedMailView = client.delete_where(&path, &pairs(&filter.query()))?;
                output.object(&deleted)
            }
            Self::Export(Export {
                of,
                filter,
                output: file,
            }) => {
                let path = ["tenants", &of.tenant, "mail", "export"];
                let mut lines = client.download(&path, &pairs(&filter.query()))?;
                match file {
                    Some(file) => copy_to(&file, &mut lines, output),
                    None => output.copy(lines),
                }
            }
            Self::Suppressions(command) => command.run(client, output),
            Self::SenderDomains(command) => command.run(client, output),
            Self::Smtp(command) => command.run(client, output),
            Self::Failures(command) => command.run(client, output),
        }
    }
}

impl OneMail {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["tenants", &self.of.tenant, "mail", &self.id], below].concat()
    }
}

impl Content {
    /// Writes a part of the mail. Control characters do not reach a terminal, because whoever wrote
    /// the mail could control it.
    fn write(self, part: &str, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let mut content = client.download(&self.mail.path(&[part]), &[])?;
        if let Some(file) = self.output {
            return copy_to(&file, &mut content, output);
        }
        if !io::stdout().is_terminal() {
            return output.copy(content);
        }
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|error| CliError::failed(format!("cannot read the mail: {error}"), ""))?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            output.text(&printable(line))?;
            output.text("\n")?;
        }
        Ok(())
    }
}

fn copy_to(file: &Path, content: &mut impl Read, output: &mut Output) -> Result<(), CliError> {
    let mut written = File::create(file).map_err(|error| CliError::file("write", file, &error))?;
    io::copy(content, &mut written)
        .map_err(|error| CliError::file("write the whole content to", file, &error))?;
    output.news(format_args!("wrote {}", file.display()));
    Ok(())
}

fn table(mails: &[MailView], output: &mut Output) -> Result<(), CliError> {
    let columns = columns!(MailView:
        "ADDED" => created_at,
        "ID" => id,
        "PLUGIN" => plugin,
        "STATE" => state,
        "TO" => to,
        "SUBJECT" => subject,
        "FAILED BECAUSE" => error,
    );
    output.table(mails, &columns)
}

fn show(detail: &MailDetail, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.data(detail);
    }
    let mut shown =
        serde_json::to_value(detail).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    if let Some(members) = shown.as_object_mut() {
        members.remove("recipients");
        members.remove("attachments");
    }
    output.object(&shown)?;
    if detail.content_hidden {
        output.news("addresses, subjects and replies are for developers and owners of the tenant");
    }
    output.line("")?;
    let columns = columns!(RecipientView:
        "RECIPIENT" => address,
        "KIND" => kind,
        "STATE" => state,
        "AT" => at,
        "REPLY" => reply,
    );
    output.table(&detail.recipients, &columns)?;
    if detail.attachments.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let columns = columns!(AttachmentView:
        "ATTACHMENT" => name,
        "TYPE" => content_type,
        "BYTES" => size,
    );
    output.table(&detail.attachments, &columns)
}
