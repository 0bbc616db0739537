//! The audit log: who changed what, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::Timestamp;
use super::id::{AuditId, TenantId};

/// Longest text in an entry, in characters. Longer texts are cut.
const MAX_TEXT: usize = 200;

/// Largest side of a change, in bytes. For a larger one, the entry keeps only the names of the
/// changed members.
const MAX_SIDE: usize = 16 * 1024;

/// Replaces the value of a setting, which the log does not keep.
const SET: &str = "set";

/// A change by an actor. The audit entry is written in the same transaction as the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The actor: the id of a token, [`Change::HOST`] or [`Change::COMMAND`].
    pub actor: String,
    /// The action, such as `plugin.activate`.
    pub action: String,
    /// What the action changes, such as `orders sha256:…`.
    pub subject: String,
    /// The state before and after the change.
    pub difference: Difference,
    /// The time of the change.
    pub at: Timestamp,
}

/// An entry of the audit log. It names secrets and credentials by their names and ids, and never
/// holds their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The id of the entry; ids sort by time.
    pub id: AuditId,
    /// The tenant that was changed; `None` for a change to the host.
    pub tenant: Option<TenantId>,
    /// The tenant's name at the time of the change. It is kept after the tenant is purged.
    pub tenant_name: Option<String>,
    /// The kind of actor that made the change.
    pub actor_kind: ActorKind,
    /// The name of the token at the time of the change.
    pub actor_name: Option<String>,
    /// The change.
    pub change: Change,
}

/// What kind of actor made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// The holder of a token, by the admin API.
    Token,
    /// The host itself.
    Host,
    /// Somebody at the machine, by an offline command.
    Command,
}

/// The members whose values a change replaced, before and after it. `None` if there is no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The former values.
    pub before: Option<Value>,
    /// The new values.
    pub after: Option<Value>,
}

impl Change {
    /// The actor of changes that the host makes itself.
    pub const HOST: &str = "host";

    /// The actor of changes that an offline command makes.
    pub const COMMAND: &str = "command";

    /// A change without a difference: the action and the subject describe it fully.
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

    /// Adds the difference that the change makes.
    pub fn with(self, difference: Difference) -> Self {
        Self { difference, ..self }
    }
}

impl ActorKind {
    /// The kind of an actor, from its recorded id.
    pub fn of(actor: &str) -> Self {
        match actor {
            Change::HOST => Self::Host,
            Change::COMMAND => Self::Command,
            _ => Self::Token,
        }
    }
}

impl Difference {
    /// The difference of a creation.
    pub fn made(after: &impl Serialize) -> Self {
        Self::between(&Value::Null, after)
    }

    /// The difference of a removal.
    pub fn removed(before: &impl Serialize) -> Self {
        Self::between(before, &Value::Null)
    }

    /// The names of the settings that differ. Their values are left out, since a setting may
    /// contain a secret and viewers read the log.
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
        // A value without a JSON form is recorded as null.
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

/// The members of each value that the other lacks or that have another value there.
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

/// Cuts long texts of the value, or reduces it to names. `None` if the value is empty.
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
