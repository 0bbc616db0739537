//! `mortise logs`: what plugins write to their logs.

use std::io::BufReader;

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::output::printable;
use super::sse;
use super::{CliError, Output, TenantArgument};
use crate::domain::log_line::Level;

/// Which lines.
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    of: TenantArgument,
    /// Only lines of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only lines of this level or a more serious one: trace, debug, info, warn, error
    #[arg(long, value_parser = parse_level)]
    level: Option<Level>,
    /// Only lines of this invocation: the `x-request-id` of a response
    #[arg(long, value_name = "ID")]
    invocation: Option<String>,
    /// So many lines, the most recent ones: 1 to 200
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=200))]
    limit: u8,
    /// Wait for further lines, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

impl Logs {
    /// Shows or follows lines.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let path = ["tenants", self.of.tenant.as_str(), "logs"];
        let mut query = Vec::new();
        query.extend(self.plugin.as_deref().map(|plugin| ("plugin", plugin)));
        query.extend(self.level.map(|level| ("level", level.as_str())));
        query.extend(
            self.invocation
                .as_deref()
                .map(|invocation| ("invocation", invocation)),
        );
        let limit = self.limit.to_string();
        query.push(("limit", &limit));
        if !self.follow {
            let (mut lines, _) = client.page(&path, &query)?;
            lines.reverse();
            return lines
                .iter()
                .try_for_each(|line| output.record(line, format_line(line)));
        }
        query.push(("follow", "true"));
        for event in sse::events(BufReader::new(client.events(&path, &query)?)) {
            let event = event.map_err(|error| {
                CliError::failed(format!("the connection broke: {error}"), "follow again")
            })?;
            match serde_json::from_str::<Value>(&event.data) {
                Ok(missed) if event.kind == "missed" => {
                    output.news(format_args!("{missed} invocations went by too fast to be shown"));
                }
                Ok(line) => output.record(&line, format_line(&line))?,
                Err(_) => output.news(printable(&event.data)),
            }
        }
        Err(CliError::failed(
            "the host ended the stream",
            "it may be shutting down; follow again when it is back",
        ))
    }
}

/// A line as people read it: when, how serious, who, what.
fn format_line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().map(printable).unwrap_or_default();
    let level = text("level").to_uppercase();
    let mut formatted = format!(
        "{}  {level:5}  {}  {}",
        text("at"),
        text("plugin"),
        text("message")
    );
    let mut field = |name: &str, value: &Value| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        formatted.push_str(&format!("  {}={}", printable(name), printable(&value)));
    };
    match &line["fields"] {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| field(name, value)),
        Value::Array(fields) => {
            for pair in fields {
                if let Some(name) = pair[0].as_str() {
                    field(name, &pair[1]);
                }
            }
        }
        _ => {}
    }
    formatted
}

fn parse_level(text: &str) -> Result<Level, String> {
    let level = Level::ALL.into_iter().find(|level| level.as_str() == text);
    level.ok_or_else(|| format!("it is one of {}", Level::ALL.map(Level::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_when_who_and_what() {
        let line = json!({
            "at": "2026-01-02T03:04:05Z", "level": "warn", "plugin": "orders", "message": "low\nstock",
            "fields": [["sku", "a1"], ["left", "2"]],
        });
        assert_eq!(
            format_line(&line),
            "2026-01-02T03:04:05Z  WARN   orders  low\u{fffd}stock  sku=a1  left=2"
        );
        let line = json!({"at": "t", "level": "info", "plugin": "p", "message": "m", "fields": {"a": "b"}});
        assert_eq!(format_line(&line), "t  INFO   p  m  a=b");
    }

    #[test]
    fn levels_are_known() {
        assert_eq!(parse_level("warn"), Ok(Level::Warn));
        assert!(parse_level("loud").unwrap_err().contains("trace, debug"));
    }
}
