//! `mortise audit`: who changed what.

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::moment;
use super::{CliError, Output};
use crate::domain::clock::Timestamp;
use crate::http::problem::Code;

/// Characters of a change that the table shows. With `--json` it is there as a whole.
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
    /// Only what this token did: its name, its id, `host` or `command`
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
        let mut entries = match tenant {
            Some(tenant) => of_tenant(client, tenant, &filter, self.limit)?,
            None => client.first(&["audit"], &filter, self.limit)?,
        };
        if !output.is_json() {
            entries.iter_mut().for_each(add_cells);
        }
        let columns = [
            ("AT", "at"),
            ("WHO", "who"),
            ("TENANT", "of"),
            ("ACTION", "action"),
            ("SUBJECT", "subject"),
            ("BEFORE", "was"),
            ("AFTER", "is"),
        ];
        output.table(&entries, &columns)
    }
}

/// The entries of a tenant. One that was purged has no address any more; operators find its entries
/// in the log of the whole host, by the name that it had or by its id.
fn of_tenant(
    client: &Client,
    tenant: &str,
    filter: &[(&str, &str)],
    most: usize,
) -> Result<Vec<Value>, CliError> {
    let absent = match client.first(&["tenants", tenant, "audit"], filter, most) {
        Err(CliError::Problem(problem)) if problem.code == Code::NotFound.as_str() => {
            CliError::Problem(problem)
        }
        answer => return answer,
    };
    let filter = [filter, &[("tenant", tenant)]].concat();
    match client.first(&["audit"], &filter, most) {
        Ok(entries) if !entries.is_empty() => Ok(entries),
        // Nobody of that name was ever there, or the caller is no operator.
        _ => Err(absent),
    }
}

/// Adds what the table shows. People know names; entries of earlier hosts have the ids alone.
fn add_cells(entry: &mut Value) {
    let either = |name: &str, id: &str| match entry[name].is_string() {
        true => entry[name].clone(),
        false => entry[id].clone(),
    };
    let (who, of) = (either("actor_name", "actor"), either("tenant_name", "tenant"));
    let (was, is) = (changes(&entry["before"]), changes(&entry["after"]));
    entry["who"] = who;
    entry["of"] = of;
    entry["was"] = was;
    entry["is"] = is;
}

/// The members of one side of a change in one short text: `plan=large limits.queue=5`.
fn changes(side: &Value) -> Value {
    let mut members = Vec::new();
    add_members(&mut members, "", side);
    if members.is_empty() {
        return Value::Null;
    }
    let text = members.join(" ");
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
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
        let shown = |side: Value| changes(&side).as_str().map(str::to_owned);
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
        let mut entry = json!({ "actor": "1", "actor_name": "Ada", "tenant": "2", "after": { "a": 1 } });
        add_cells(&mut entry);
        assert_eq!((&entry["who"], &entry["of"]), (&json!("Ada"), &json!("2")));
        assert_eq!((&entry["was"], &entry["is"]), (&Value::Null, &json!("a=1")));
    }
}
