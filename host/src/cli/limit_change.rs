//! Arguments that change limits: `memory=128MiB --unset queue`.

use clap::Args;
use serde_json::{Map, Value};

use super::CliError;
use crate::domain::limits::LimitOverrides;

/// Limits to set and to remove.
#[derive(Debug, Args)]
pub struct Change {
    /// Limits to set, such as memory=128MiB or queue=200; `docs/limits.md` lists all limits
    #[arg(value_name = "LIMIT=VALUE", value_parser = parse)]
    limits: Vec<(String, Value)>,
    /// Limits whose values are removed, separated by commas
    #[arg(long, value_name = "LIMIT", value_delimiter = ',')]
    unset: Vec<String>,
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.unset.is_empty()
    }

    /// Applies the changes to limits as they are now. The host checks names and values.
    pub fn apply(self, to: &LimitOverrides) -> Result<Map<String, Value>, CliError> {
        let mut limits = match serde_json::to_value(to) {
            Ok(Value::Object(limits)) => limits,
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
        Ok(limits)
    }
}

/// Parses `memory=128MiB` or `queue=200`.
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
    use serde_json::json;

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
        let before = |limits: Value| serde_json::from_value::<LimitOverrides>(limits).unwrap();
        let after = change.apply(&before(json!({"queue": 1, "wall": "9s"}))).unwrap();
        assert_eq!(Value::Object(after), json!({"cpu": "1s", "wall": "9s"}));
        let typo = Change {
            limits: Vec::new(),
            unset: vec!["qeue".to_owned()],
        };
        let error = typo.apply(&before(json!({"queue": 1}))).unwrap_err();
        assert_eq!(error.to_string(), "the limit `qeue` has no override");
        assert_eq!(error.hint().unwrap(), "overridden limits: queue");
    }
}
