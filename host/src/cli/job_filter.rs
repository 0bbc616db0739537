//! Options that say which jobs a command means.

use clap::Args;

use super::moment;
use crate::domain::clock::Timestamp;
use crate::domain::job::JobState;

/// A filter for jobs.
#[derive(Debug, Args)]
pub struct JobFilterOptions {
    #[command(flatten)]
    common: CommonOptions,
    /// Only jobs in one of these states: scheduled, ready, blocked, held, running, done, dead,
    /// cancelled
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    state: Vec<JobState>,
}

/// A filter for dead letters.
#[derive(Debug, Args)]
pub struct DeadLetterFilterOptions {
    #[command(flatten)]
    common: CommonOptions,
}

/// The filter for all commands.
#[derive(Debug, Args)]
struct CommonOptions {
    /// Only jobs of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only jobs of this kind
    #[arg(long, value_name = "KIND")]
    job: Option<String>,
    /// Only jobs that were added from this time on: 2026-01-02T03:04:05Z, or 15min for as long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// Only jobs that were added before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
}

/// Query parameters.
pub type Query = Vec<(&'static str, String)>;

impl JobFilterOptions {
    /// The filter as query parameters.
    pub fn query(&self) -> Query {
        let mut query = self.common.query();
        if !self.state.is_empty() {
            let states: Vec<&str> = self.state.iter().map(|state| state.as_str()).collect();
            query.push(("state", states.join(",")));
        }
        query
    }
}

impl DeadLetterFilterOptions {
    /// The filter as query parameters.
    pub fn query(&self) -> Query {
        self.common.query()
    }
}

impl CommonOptions {
    fn query(&self) -> Query {
        let mut query = Query::new();
        query.extend(self.plugin.clone().map(|plugin| ("plugin", plugin)));
        query.extend(self.job.clone().map(|job| ("job", job)));
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        query
    }
}

/// The parameters as the client takes them.
pub fn pairs(query: &Query) -> Vec<(&str, &str)> {
    query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

fn parse_state(text: &str) -> Result<JobState, String> {
    let state = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| format!("it is one of {}", JobState::ALL.map(JobState::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        filter: JobFilterOptions,
    }

    #[test]
    fn states_are_given_with_commas_or_one_by_one() {
        for arguments in [
            ["x", "--state", "held,blocked"].as_slice(),
            &["x", "--state", "held", "--state", "blocked"],
        ] {
            let command = Command::try_parse_from(arguments).ok().unwrap();
            assert_eq!(pairs(&command.filter.query()), [("state", "held,blocked")]);
        }
        let refused = Command::try_parse_from(["x", "--state", "failed"]).err().unwrap();
        assert!(refused.to_string().contains("scheduled, ready"), "{refused}");
    }

    #[test]
    fn without_a_filter_there_are_no_parameters() {
        let command = Command::try_parse_from(["x"]).ok().unwrap();
        assert_eq!(command.filter.query(), []);
        let command =
            Command::try_parse_from(["x", "--plugin", "p", "--job", "j", "--to", "1970-01-01T00:00:01Z"]);
        assert_eq!(
            pairs(&command.ok().unwrap().filter.query()),
            [("plugin", "p"), ("job", "j"), ("to", "1970-01-01T00:00:01.000Z")]
        );
    }
}
