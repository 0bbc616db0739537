//! Query parameters that say which jobs are meant.

use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::super::error::invalid;
use super::super::page::{Paging, limit};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobName, PluginName};
use crate::domain::job::JobState;
use crate::http::problem::Problem;
use crate::storage::JobFilter;

/// Which jobs are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobQuery {
    /// Jobs of this plugin; `-` for those of the host.
    #[serde(default, deserialize_with = "plugin")]
    plugin: Option<PluginName>,
    /// Jobs of this kind.
    job: Option<JobName>,
    /// Jobs in one of these states, separated by commas.
    #[serde(default, deserialize_with = "states")]
    #[param(style = Form, explode = false)]
    state: Vec<JobState>,
    /// Jobs that were added at this time or later.
    from: Option<Timestamp>,
    /// Jobs that were added before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Which jobs are exported or deleted: all of the tenant without a filter.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobSelection {
    /// Jobs of this plugin; `-` for those of the host.
    #[serde(default, deserialize_with = "plugin")]
    plugin: Option<PluginName>,
    /// Jobs of this kind.
    job: Option<JobName>,
    /// Jobs in one of these states, separated by commas.
    #[serde(default, deserialize_with = "states")]
    #[param(style = Form, explode = false)]
    state: Vec<JobState>,
    /// Jobs that were added at this time or later.
    from: Option<Timestamp>,
    /// Jobs that were added before this time.
    to: Option<Timestamp>,
}

/// Which dead letters are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterQuery {
    /// Dead letters of this plugin; `-` for those of the host.
    #[serde(default, deserialize_with = "plugin")]
    plugin: Option<PluginName>,
    /// Dead letters of this kind of job.
    job: Option<JobName>,
    /// Dead letters whose job was added at this time or later.
    from: Option<Timestamp>,
    /// Dead letters whose job was added before this time.
    to: Option<Timestamp>,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Which dead letters are changed: all of the tenant without a filter.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterSelection {
    /// Dead letters of this plugin; `-` for those of the host.
    #[serde(default, deserialize_with = "plugin")]
    plugin: Option<PluginName>,
    /// Dead letters of this kind of job.
    job: Option<JobName>,
    /// Dead letters whose job was added at this time or later.
    from: Option<Timestamp>,
    /// Dead letters whose job was added before this time.
    to: Option<Timestamp>,
}

impl JobQuery {
    /// The filter and the page.
    pub fn read(self) -> Result<(JobFilter, Paging), Problem> {
        let paging = Paging {
            cursor: self.cursor,
            limit: self.limit,
        };
        let filter = filter(self.plugin, self.job, self.state, self.from, self.to)?;
        Ok((filter, paging))
    }
}

impl JobSelection {
    /// The filter.
    pub fn read(self) -> Result<JobFilter, Problem> {
        filter(self.plugin, self.job, self.state, self.from, self.to)
    }
}

impl DeadLetterQuery {
    /// The filter and the page.
    pub fn read(self) -> Result<(JobFilter, Paging), Problem> {
        let paging = Paging {
            cursor: self.cursor,
            limit: self.limit,
        };
        let filter = filter(self.plugin, self.job, vec![JobState::Dead], self.from, self.to)?;
        Ok((filter, paging))
    }
}

impl DeadLetterSelection {
    /// The filter.
    pub fn read(self) -> Result<JobFilter, Problem> {
        filter(self.plugin, self.job, vec![JobState::Dead], self.from, self.to)
    }
}

fn filter(
    plugin: Option<PluginName>,
    name: Option<JobName>,
    states: Vec<JobState>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<JobFilter, Problem> {
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(invalid("from: it must lie before `to`"));
    }
    Ok(JobFilter {
        plugin,
        name,
        states,
        from,
        to,
    })
}

/// Reads the name of a plugin, or that of the host.
fn plugin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PluginName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    PluginName::of_job(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// Parses states that are separated by commas.
fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<JobState>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut states = Vec::new();
    for name in text.split(',') {
        let Some(state) = JobState::ALL.into_iter().find(|state| state.as_str() == name) else {
            let name: String = name.chars().take(100).collect();
            let known = JobState::ALL.map(JobState::as_str).join(", ");
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

/// A filter as a text for the audit log, such as `orders job=sync-erp state=dead`.
pub fn subject(filter: &JobFilter) -> String {
    let mut parts = Vec::new();
    parts.extend(filter.plugin.as_ref().map(PluginName::to_string));
    parts.extend(filter.name.as_ref().map(|name| format!("job={name}")));
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        parts.push(format!("state={}", states.join(",")));
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

    fn parsed(text: &str) -> Result<Vec<JobState>, String> {
        let deserializer = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
        states(deserializer).map_err(|error| error.to_string())
    }

    #[test]
    fn states_are_separated_by_commas() {
        assert_eq!(parsed("dead"), Ok(vec![JobState::Dead]));
        assert_eq!(
            parsed("held,blocked,held"),
            Ok(vec![JobState::Held, JobState::Blocked])
        );
        for wrong in ["", "Dead", "dead,", "failed"] {
            let error = parsed(wrong).unwrap_err();
            assert!(error.contains("scheduled, ready, blocked"), "{error}");
        }
    }

    #[test]
    fn the_audit_log_names_the_filter() {
        assert_eq!(subject(&JobFilter::default()), "all");
        let filter = JobFilter {
            plugin: Some("orders".parse().unwrap()),
            name: Some("sync-erp".parse().unwrap()),
            states: vec![JobState::Dead, JobState::Done],
            from: Some(Timestamp(0)),
            to: None,
        };
        assert_eq!(
            subject(&filter),
            "orders job=sync-erp state=dead,done from=1970-01-01T00:00:00.000Z"
        );
    }
}
