//! Options that say which mail a command means.

use clap::Args;

use super::super::job_filter::Query;
use super::super::moment;
use crate::domain::clock::Timestamp;
use crate::domain::mail::MailState;

/// A filter for lists.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Only mail of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only mail in one of these states: queued, sent, caught, failed
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    state: Vec<MailState>,
    /// Only mail that was added from this time on: 2026-01-02T03:04:05Z, or 15min for as long ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    from: Option<Timestamp>,
    /// Only mail that was added before this time
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    to: Option<Timestamp>,
}

/// A filter for searches, deletions and exports.
#[derive(Debug, Args)]
pub struct SelectionOptions {
    /// Only mail to this address, whatever its case
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only mail with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    #[command(flatten)]
    list: ListOptions,
}

impl ListOptions {
    /// The filter as query parameters.
    pub fn query(&self) -> Query {
        let mut query = Query::new();
        query.extend(self.plugin.clone().map(|plugin| ("plugin", plugin)));
        if !self.state.is_empty() {
            let states: Vec<&str> = self.state.iter().map(|state| state.as_str()).collect();
            query.push(("state", states.join(",")));
        }
        query.extend(self.from.map(|from| ("from", from.to_string())));
        query.extend(self.to.map(|to| ("to", to.to_string())));
        query
    }
}

impl SelectionOptions {
    /// The filter as query parameters.
    pub fn query(&self) -> Query {
        let mut query = self.list.query();
        query.extend(self.recipient.clone().map(|recipient| ("recipient", recipient)));
        query.extend(self.tag.clone().map(|tag| ("tag", tag)));
        query
    }
}

fn parse_state(text: &str) -> Result<MailState, String> {
    MailState::named(text).ok_or_else(|| {
        let known: Vec<&str> = MailState::ALL.iter().map(|state| state.as_str()).collect();
        format!("it is one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::job_filter::pairs;
    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        filter: SelectionOptions,
    }

    #[test]
    fn options_are_query_parameters() {
        let arguments = [
            "x",
            "--state",
            "failed,caught",
            "--recipient",
            "a@b",
            "--tag",
            "t",
            "--plugin",
            "p",
        ];
        let command = Command::try_parse_from(arguments).ok().unwrap();
        assert_eq!(
            pairs(&command.filter.query()),
            [
                ("plugin", "p"),
                ("state", "failed,caught"),
                ("recipient", "a@b"),
                ("tag", "t")
            ]
        );
        let refused = Command::try_parse_from(["x", "--state", "dead"]).err().unwrap();
        assert!(refused.to_string().contains("queued, sent"), "{refused}");
    }
}
