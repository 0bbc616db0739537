//! Query parameters that say which mail is meant.

use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::super::error::invalid;
use super::super::page::{Paging, limit};
use crate::domain::clock::Timestamp;
use crate::domain::id::PluginName;
use crate::domain::mail::MailState;
use crate::domain::suppression::AddressKey;
use crate::http::problem::Problem;
use crate::storage::MailFilter;

/// The longest text that is searched for, in characters.
const MAX_TEXT: usize = 200;

/// Which mail is listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MailQuery {
    /// Mail of this plugin.
    plugin: Option<PluginName>,
    /// Mail in one of these states, separated by commas.
    #[serde(default, deserialize_with = "states")]
    #[param(style = Form, explode = false)]
    state: Vec<MailState>,
    /// Mail that was sent by the plugin at this time or later.
    from: Option<Timestamp>,
    /// Mail that was sent by the plugin before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Which mail is found.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MailSearch {
    /// Mail with this text in its subject, its text part or an address, whatever its case.
    q: Option<String>,
    /// Mail to this address, whatever its case.
    #[param(value_type = Option<String>)]
    recipient: Option<AddressKey>,
    /// Mail with this tag.
    tag: Option<String>,
    /// Mail of this plugin.
    plugin: Option<PluginName>,
    /// Mail in one of these states, separated by commas.
    #[serde(default, deserialize_with = "states")]
    #[param(style = Form, explode = false)]
    state: Vec<MailState>,
    /// Mail that was sent by the plugin at this time or later.
    from: Option<Timestamp>,
    /// Mail that was sent by the plugin before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Which mail is exported or deleted: all of the tenant without a filter.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MailSelection {
    /// Mail to this address, whatever its case.
    #[param(value_type = Option<String>)]
    recipient: Option<AddressKey>,
    /// Mail with this tag.
    tag: Option<String>,
    /// Mail of this plugin.
    plugin: Option<PluginName>,
    /// Mail in one of these states, separated by commas.
    #[serde(default, deserialize_with = "states")]
    #[param(style = Form, explode = false)]
    state: Vec<MailState>,
    /// Mail that was sent by the plugin at this time or later.
    from: Option<Timestamp>,
    /// Mail that was sent by the plugin before this time.
    to: Option<Timestamp>,
}

impl MailQuery {
    /// The filter and the page.
    pub fn read(self) -> Result<(MailFilter, Paging), Problem> {
        let paging = Paging {
            cursor: self.cursor,
            limit: self.limit,
        };
        let filter = MailFilter {
            plugin: self.plugin,
            states: self.state,
            from: self.from,
            to: self.to,
            ..MailFilter::default()
        };
        Ok((checked(filter)?, paging))
    }
}

impl MailSearch {
    /// The filter and the page.
    pub fn read(self) -> Result<(MailFilter, Paging), Problem> {
        let paging = Paging {
            cursor: self.cursor,
            limit: self.limit,
        };
        let text = self.q.filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
            return Err(invalid(format!(
                "q: up to {MAX_TEXT} characters are searched for"
            )));
        }
        let filter = MailFilter {
            plugin: self.plugin,
            states: self.state,
            recipient: self.recipient,
            tag: self.tag,
            text,
            from: self.from,
            to: self.to,
        };
        Ok((checked(filter)?, paging))
    }
}

impl MailSelection {
    /// The filter.
    pub fn read(self) -> Result<MailFilter, Problem> {
        checked(MailFilter {
            plugin: self.plugin,
            states: self.state,
            recipient: self.recipient,
            tag: self.tag,
            text: None,
            from: self.from,
            to: self.to,
        })
    }
}

fn checked(filter: MailFilter) -> Result<MailFilter, Problem> {
    match (filter.from, filter.to) {
        (Some(from), Some(to)) if from >= to => Err(invalid("from: it must lie before `to`")),
        _ => Ok(filter),
    }
}

/// Parses states that are separated by commas.
fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<MailState>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut states = Vec::new();
    for name in text.split(',') {
        let Some(state) = MailState::named(name) else {
            let name: String = name.chars().take(100).collect();
            let known: Vec<&str> = MailState::ALL.iter().map(|state| state.as_str()).collect();
            let known = known.join(", ");
            return Err(serde::de::Error::custom(format!(
                "`{name}` is not a state; write one or several of {known}, separated by commas"
            )));
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// A filter as a text for the audit log, such as `orders state=failed`. Viewers read the log, so
/// it names no person.
pub fn subject(filter: &MailFilter) -> String {
    let mut parts = Vec::new();
    parts.extend(filter.plugin.as_ref().map(PluginName::to_string));
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        parts.push(format!("state={}", states.join(",")));
    }
    let recipient = filter.recipient.as_ref();
    parts.extend(recipient.map(|recipient| format!("recipient={}", recipient.masked())));
    if filter.tag.is_some() {
        parts.push("tag=…".to_owned());
    }
    parts.extend(filter.from.map(|from| format!("from={from}")));
    parts.extend(filter.to.map(|to| format!("to={to}")));
    match parts.is_empty() {
        true => "all".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_separated_by_commas() {
        let parsed = |text: &str| {
            let deserializer = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
            states(deserializer).map_err(|error| error.to_string())
        };
        assert_eq!(
            parsed("failed,caught,failed"),
            Ok(vec![MailState::Failed, MailState::Caught])
        );
        for wrong in ["", "Failed", "failed,", "dead"] {
            let error = parsed(wrong).unwrap_err();
            assert!(error.contains("queued, sent"), "{error}");
        }
    }

    #[test]
    fn the_audit_log_names_the_filter_and_no_person() {
        assert_eq!(subject(&MailFilter::default()), "all");
        let filter = MailFilter {
            plugin: Some("orders".parse().unwrap()),
            states: vec![MailState::Failed],
            recipient: Some("ada@example.com".parse().unwrap()),
            tag: Some("customer-7".to_owned()),
            ..MailFilter::default()
        };
        assert_eq!(
            subject(&filter),
            "orders state=failed recipient=*@example.com tag=…"
        );
    }
}
