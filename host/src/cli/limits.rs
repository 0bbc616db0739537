//! `mortise limits`: the limits of a tenant and its overrides. Also parses limits in arguments.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{CliError, Output, TenantArgument};

/// What to do with the limits of a tenant.
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// Show each limit that holds for a tenant, where it comes from, and how far it can be raised
    Show(TenantArgument),
    /// Change limits for a tenant alone, over its plan
    Set(Set),
}

/// Changes to the limits of a tenant.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    of: TenantArgument,
    #[command(flatten)]
    change: Change,
}

/// Overrides of limits to set and to remove.
#[derive(Debug, Args)]
pub struct Change {
    /// What to set, such as memory=128MiB or queue=200; `docs/limits.md` lists all
    #[arg(required_unless_present = "unset", value_name = "LIMIT=VALUE", value_parser = parse)]
    limits: Vec<(String, Value)>,
    /// Remove the override of this limit
    #[arg(long, value_name = "LIMIT", value_delimiter = ',')]
    unset: Vec<String>,
}

impl Change {
    /// Applies the changes to limits as they are now.
    pub fn apply(self, to: Value) -> Result<Value, CliError> {
        let mut limits = match to {
            Value::Object(limits) => limits,
            _ => Map::new(),
        };
        for name in &self.unset {
            if limits.remove(name).is_none() {
                let set: Vec<&str> = limits.keys().map(String::as_str).collect();
                let hint = match set.is_empty() {
                    true => "no limit is overridden".to_owned(),
                    false => format!("overridden limits: {}", set.join(", ")),
                };
                return Err(CliError::failed(
                    format!("the limit `{name}` has no override"),
                    hint,
                ));
            }
        }
        limits.extend(self.limits);
        Ok(Value::Object(limits))
    }
}

impl Limits {
    /// Runs the command.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Show(of) => {
                let limits = client.get(&["tenants", &of.tenant, "limits"])?;
                if output.is_json() {
                    return output.data(&limits);
                }
                let columns = [
                    ("LIMIT", "name"),
                    ("VALUE", "value"),
                    ("FROM", "source"),
                    ("CEILING", "ceiling"),
                ];
                output.table(&rows(&limits), &columns)
            }
            Self::Set(Set { of, change }) => {
                let path = ["tenants", of.tenant.as_str()];
                let limits = change.apply(client.get(&path)?["limits"].take())?;
                output.object(&client.patch(&path, &json!({"limits": limits}))?)
            }
        }
    }
}

/// One row per limit, from `{"limits": {name: {…}}}`.
fn rows(limits: &Value) -> Vec<Value> {
    let named = |(name, limit): (&String, &Value)| {
        let mut limit = limit.clone();
        limit["name"] = name.as_str().into();
        limit
    };
    let members = limits["limits"].as_object();
    members.into_iter().flatten().map(named).collect()
}

/// `memory=128MiB` or `queue=200`.
fn parse(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or("write it as LIMIT=VALUE")?;
    let value = match value.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) => value.into(),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_text_with_a_unit() {
        assert_eq!(parse("queue=200"), Ok(("queue".to_owned(), json!(200))));
        assert_eq!(parse("memory=128MiB"), Ok(("memory".to_owned(), json!("128MiB"))));
        for wrong in ["queue", "=1", "queue="] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let change = Change {
            limits: vec![("cpu".to_owned(), json!("1s"))],
            unset: vec!["queue".to_owned()],
        };
        let after = change.apply(json!({"queue": 1, "wall": "9s"})).unwrap();
        assert_eq!(after, json!({"cpu": "1s", "wall": "9s"}));
        let typo = Change {
            limits: Vec::new(),
            unset: vec!["qeue".to_owned()],
        };
        let error = typo.apply(json!({"queue": 1})).unwrap_err();
        assert_eq!(error.to_string(), "the limit `qeue` has no override");
        assert_eq!(error.hint().unwrap(), "overridden limits: queue");
    }

    #[test]
    fn effective_limits_are_rows_by_name() {
        let limit = json!({"value": "64MiB", "source": "plan", "ceiling": "256MiB"});
        let mut row = limit.clone();
        row["name"] = "memory".into();
        assert_eq!(rows(&json!({"limits": {"memory": limit}})), [row]);
    }
}
