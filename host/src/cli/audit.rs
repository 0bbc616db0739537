//! `mortise audit`: lists the changes in the audit log.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::client::Client;
use super::moment;
use super::output::columns;
use super::{CliError, Output};
use crate::domain::clock::Timestamp;
use crate::domain::problem::Code;
use crate::wire::audit::AuditView;

/// Characters of a change that the table shows. `--json` shows all of it.
const MOST_CHARACTERS: usize = 60;

/// Arguments of `mortise audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Name of the tenant, or the id of one that was purged; without it, the entries of the host
    /// and of all tenants
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    /// The entries of the host and of all tenants, even if MORTISE_TENANT is set
    #[arg(long)]
    all: bool,
    /// Only changes by this actor: the name or id of a token, `host` or `command`
    #[arg(long, value_name = "TOKEN")]
    actor: Option<String>,
    /// Only this action, such as plugin.activate; `secret.*` matches every action with this prefix
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only entries from this time on: 2026-01-02T03:04:05Z, or 30d for as long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    since: Option<Timestamp>,
    /// Number of entries, the newest ones
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Audit {
    /// Lists changes, the newest first.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let tenant = self.tenant.as_deref().filter(|_| !self.all);
        let since = self.since.map(|since| since.to_string());
        let mut filter = Vec::new();
        filter.extend(self.actor.as_deref().map(|actor| ("actor", actor)));
        filter.extend(self.action.as_deref().map(|action| ("action", action)));
        filter.extend(since.as_deref().map(|since| ("from", since)));
        let entries: Vec<AuditView> = match tenant {
            Some(tenant) => of_tenant(client, tenant, &filter, self.limit)?,
            None => client.first(&["audit"], &filter, self.limit)?,
        };
        if output.is_json() {
            return output.data(&entries);
        }
        let columns = columns!(Row:
            "AT" => at,
            "WHO" => who,
            "TENANT" => tenant,
            "ACTION" => action,
            "SUBJECT" => subject,
            "BEFORE" => before,
            "AFTER" => after,
        );
        let rows: Vec<Row> = entries.into_iter().map(Row::from).collect();
        output.table(&rows, &columns)
    }
}

/// The entries of a tenant. A purged tenant has no address any more. Operators find its entries in
/// the log of the whole host, by its former name or its id.
fn of_tenant(
    client: &Client,
    tenant: &str,
    filter: &[(&str, &str)],
    most: usize,
) -> Result<Vec<AuditView>, CliError> {
    let absent = match client.first(&["tenants", tenant, "audit"], filter, most) {
        Err(CliError::Problem(problem)) if problem.code == Code::NotFound.as_str() => {
            CliError::Problem(problem)
        }
        answer => return answer,
    };
    let named = [("tenant", tenant)];
    match client.first::<AuditView>(&["audit"], &named, 1) {
        Ok(entries) if !entries.is_empty() => client.first(&["audit"], &[filter, &named].concat(), most),
        // The tenant never existed, or the caller is no operator.
        _ => Err(absent),
    }
}

/// A row of the table. It shows names; entries of earlier hosts only have ids.
#[derive(Serialize)]
struct Row {
    at: Timestamp,
    who: String,
    tenant: Option<String>,
    action: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<AuditView> for Row {
    fn from(entry: AuditView) -> Self {
        let side = |side: Option<Value>| side.as_ref().and_then(changes);
        Self {
            at: entry.at,
            who: entry.actor_name.unwrap_or(entry.actor),
            tenant: entry
                .tenant_name
                .or_else(|| entry.tenant.map(|tenant| tenant.to_string())),
            action: entry.action,
            subject: entry.subject,
            before: side(entry.before),
            after: side(entry.after),
        }
    }
}

/// One side of a change as a short text: `plan=large limits.queue=5`.
fn changes(side: &Value) -> Option<String> {
    let mut members = Vec::new();
    add_members(&mut members, "", side);
    if members.is_empty() {
        return None;
    }
    let text = members.join(" ");
    Some(match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

fn add_members(members: &mut Vec<String>, name: &str, value: &Value) {
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            for (member, value) in inner {
                let name = match name {
                    "" => member.clone(),
                    name => format!("{name}.{member}"),
                };
                add_members(members, &name, value);
            }
        }
        Value::Null if name.is_empty() => {}
        Value::String(text) => members.push(format!("{name}={text}")),
        value => members.push(format!("{name}={value}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_one_short_text() {
        let shown = |side: Value| changes(&side);
        let limits = json!({ "plan": "large", "limits": { "queue": 5, "cpu": "50ms" } });
        assert_eq!(
            shown(limits).unwrap(),
            "limits.cpu=50ms limits.queue=5 plan=large"
        );
        assert_eq!(shown(json!({ "limits": {} })).unwrap(), "limits={}");
        assert_eq!(shown(Value::Null), None);
        let long = shown(json!({ "text": "ä".repeat(200) })).unwrap();
        assert!(
            long.chars().count() == MOST_CHARACTERS + 1 && long.ends_with('…'),
            "{long}"
        );
    }

    #[test]
    fn an_entry_shows_names_and_where_there_are_none_the_ids() {
        let id = "0190a5c0-0000-7000-8000-000000000001";
        let entry: AuditView = serde_json::from_value(json!({
            "id": id, "tenant": id, "actor_kind": "token", "actor": "1", "actor_name": "Ada",
            "action": "a.b", "subject": "c", "after": { "a": 1 }, "at": "2026-01-02T03:04:05Z",
        }))
        .unwrap();
        let row = Row::from(entry);
        assert_eq!((row.who.as_str(), row.tenant.as_deref()), ("Ada", Some(id)));
        assert_eq!((row.before, row.after.as_deref()), (None, Some("a=1")));
    }
}
