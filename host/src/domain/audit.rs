//! Who changed what, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::Timestamp;
use super::id::{AuditId, TenantId};

/// Characters of a text that an entry keeps. What is longer is cut.
const MAX_TEXT: usize = 200;

/// Bytes of one side of a change. Of a larger one, the entry keeps only the names of what changed.
const MAX_SIDE: usize = 16 * 1024;

/// What stands in place of the value of a setting.
const SET: &str = "set";

/// A change that somebody makes. Whoever stores it writes its audit entry in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who makes it: the id of a token, [`Change::HOST`] or [`Change::COMMAND`].
    pub actor: String,
    /// What is done, such as `plugin.activate`.
    pub action: String,
    /// What it is done to, such as `orders sha256:…`.
    pub subject: String,
    /// What differs.
    pub difference: Difference,
    /// When.
    pub at: Timestamp,
}

/// An entry of the audit log: a change that was made. What it holds of secrets and credentials are
/// their names and ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id; ids sort by time.
    pub id: AuditId,
    /// Whose affair it is; `None` for the host's own.
    pub tenant: Option<TenantId>,
    /// The name of the tenant at that time, which outlives the tenant.
    pub tenant_name: Option<String>,
    /// What kind of actor made it.
    pub actor_kind: ActorKind,
    /// The name of the token at that time.
    pub actor_name: Option<String>,
    /// The change.
    pub change: Change,
}

/// What kind of actor made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// The holder of a token.
    Token,
    /// The host by itself.
    Host,
    /// Somebody at the machine, by an offline command.
    Command,
}

/// The members that a change gave another value, before and after. `None` if there was or is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What was there before.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

impl Change {
    /// Actor of changes that the host makes itself.
    pub const HOST: &str = "host";

    /// Actor of changes that an offline command makes.
    pub const COMMAND: &str = "command";

    /// A change of which the action and the subject say everything.
    pub fn new(
        actor: impl Into<String>,
        action: impl Into<String>,
        subject: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            difference: Difference::default(),
            at,
        }
    }

    /// The same with what differs.
    pub fn with(self, difference: Difference) -> Self {
        Self { difference, ..self }
    }
}

impl ActorKind {
    /// The kind of an actor, by what is recorded of it.
    pub fn of(actor: &str) -> Self {
        match actor {
            Change::HOST => Self::Host,
            Change::COMMAND => Self::Command,
            _ => Self::Token,
        }
    }
}

impl Difference {
    /// What was made.
    pub fn made(after: &impl Serialize) -> Self {
        Self::between(&Value::Null, after)
    }

    /// What was removed.
    pub fn removed(before: &impl Serialize) -> Self {
        Self::between(before, &Value::Null)
    }

    /// The settings that differ, by name. Their values are left out: a setting may be half a
    /// secret, viewers read the log, and it outlives the setting.
    pub fn of_settings(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Self {
        let names = |settings: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
            let differing = settings
                .iter()
                .filter(|(name, value)| others.get(*name) != Some(value));
            bounded(differing.map(|(name, _)| (name.clone(), json!(SET))).collect())
        };
        Self {
            before: names(before, after),
            after: names(after, before),
        }
    }

    /// The members in which two values differ.
    pub fn between(before: &impl Serialize, after: &impl Serialize) -> Self {
        // A value without a JSON form is one that nobody can read either.
        let value = |value: Result<Value, _>| value.unwrap_or_default();
        let (before, after) = differing(
            value(serde_json::to_value(before)),
            value(serde_json::to_value(after)),
        );
        Self {
            before: bounded(before),
            after: bounded(after),
        }
    }
}

/// What of each value the other one has not.
fn differing(before: Value, after: Value) -> (Value, Value) {
    match (before, after) {
        (Value::Object(mut before), Value::Object(after)) => {
            let (mut old, mut new) = (Map::new(), Map::new());
            for (name, value) in after {
                match before.remove(&name) {
                    Some(former) if former == value => {}
                    Some(former) => {
                        let (former, value) = differing(former, value);
                        old.insert(name.clone(), former);
                        new.insert(name, value);
                    }
                    None => {
                        new.insert(name, value);
                    }
                }
            }
            old.extend(before);
            (Value::Object(old), Value::Object(new))
        }
        other => other,
    }
}

/// The value with long texts cut, or only its names; `None` if it says nothing.
fn bounded(mut value: Value) -> Option<Value> {
    cut(&mut value);
    if value.to_string().len() > MAX_SIDE {
        let names: Vec<&String> = value
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .take(100)
            .collect();
        value = json!({ "too_large": names });
    }
    let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
    (!is_empty).then_some(value)
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(members) => members.values_mut().for_each(cut),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_only_what_changed() {
        let before = json!({ "plan": "small", "limits": { "cpu": "50ms", "memory": "64MiB" }, "gone": 1 });
        let after = json!({ "plan": "small", "limits": { "cpu": "90ms", "memory": "64MiB" }, "new": [1] });
        let change = Difference::between(&before, &after);
        assert_eq!(
            change.before,
            Some(json!({ "limits": { "cpu": "50ms" }, "gone": 1 }))
        );
        assert_eq!(
            change.after,
            Some(json!({ "limits": { "cpu": "90ms" }, "new": [1] }))
        );
        assert_eq!(Difference::between(&before, &before), Difference::default());
        assert_eq!(Difference::made(&json!({ "a": 1 })).before, None);
        assert_eq!(Difference::removed(&json!({ "a": 1 })).after, None);
    }

    #[test]
    fn of_settings_only_the_names_are_kept() {
        let settings = |pairs: &[(&str, &str)]| {
            let own = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            own.collect::<BTreeMap<_, _>>()
        };
        let before = settings(&[("same", "1"), ("changed", "2"), ("gone", "3")]);
        let after = settings(&[("same", "1"), ("changed", "4"), ("new", "5")]);
        let change = Difference::of_settings(&before, &after);
        assert_eq!(change.before, Some(json!({ "changed": "set", "gone": "set" })));
        assert_eq!(change.after, Some(json!({ "changed": "set", "new": "set" })));
        assert_eq!(Difference::of_settings(&before, &before), Difference::default());
    }

    #[test]
    fn what_is_large_is_cut() {
        let change = Difference::made(&json!({ "text": "ä".repeat(300) }));
        let text = change.after.unwrap()["text"].as_str().unwrap().to_owned();
        assert_eq!(text.chars().count(), MAX_TEXT + 1);
        let many: Map<String, Value> = (0..200)
            .map(|n| (format!("n{n:03}"), json!("x".repeat(150))))
            .collect();
        let after = Difference::made(&many).after.unwrap();
        assert_eq!(after["too_large"].as_array().unwrap().len(), 100);
    }
}
