//! `mortise logs`: what plugins write to their logs.

use std::io::BufReader;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::moment;
use super::output::printable;
use super::sse;
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::domain::log_line::Level;

/// Until the host is asked again after a broken stream. It doubles with each attempt that fails.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Recent lines that the host gives to begin with.
const MOST_RECENT: usize = 200;

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
    /// Only lines after this time: 2026-01-02T03:04:05Z, or 15min ago
    #[arg(long, value_name = "WHEN", value_parser = moment::past)]
    since: Option<Timestamp>,
    /// Number of lines, the most recent ones; with --follow 200 at most
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Wait for further lines, until Ctrl-C. When the host restarts, it goes on where it was
    #[arg(long, short)]
    follow: bool,
}

impl Logs {
    /// Shows or follows lines.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let path = ["tenants", self.of.tenant.as_str(), "logs"];
        let since = self.since.map(|since| since.to_string());
        let mut query = Vec::new();
        query.extend(self.plugin.as_deref().map(|plugin| ("plugin", plugin)));
        query.extend(self.level.map(|level| ("level", level.as_str())));
        query.extend(
            self.invocation
                .as_deref()
                .map(|invocation| ("invocation", invocation)),
        );
        query.extend(since.as_deref().map(|since| ("since", since)));
        if !self.follow {
            let mut lines = client.first(&path, &query, self.limit)?;
            lines.reverse();
            return lines.iter().try_for_each(|line| show(line, output));
        }
        let limit = self.limit.clamp(1, MOST_RECENT).to_string();
        query.extend([("limit", limit.as_str()), ("follow", "true")]);
        end_well_on_interruption();
        follow(client, &path, &query, output)
    }
}

/// Shows lines as they come. It ends with an error that asking again does not mend.
fn follow(
    client: &Client,
    path: &[&str],
    query: &[(&str, &str)],
    output: &mut Output,
) -> Result<(), CliError> {
    let mut last: Option<String> = None;
    // Until the first answer, nothing is asked again: the address or the token may be wrong.
    let mut has_followed = false;
    let mut wait = FIRST_WAIT;
    loop {
        match client.events(path, query, last.as_deref()) {
            Ok(stream) => {
                if has_followed {
                    output.news("connected again");
                }
                has_followed = true;
                wait = FIRST_WAIT;
                for event in sse::events(BufReader::new(stream)) {
                    let Ok(event) = event else { break };
                    show_event(&event, output)?;
                    if !event.id.is_empty() {
                        last = Some(event.id);
                    }
                }
                output.news("the stream ended; the host may be restarting, so it is asked again");
            }
            Err(error) if has_followed && error.may_pass() => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Ctrl-C is how following ends, so it is no failure.
fn end_well_on_interruption() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without it, an interruption ends the process as it does with any other.
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            std::process::exit(0);
        }
    });
}

fn show_event(event: &sse::Event, output: &mut Output) -> Result<(), CliError> {
    match serde_json::from_str::<Value>(&event.data) {
        Ok(missed) if event.kind == "missed" => {
            output.news(format_args!(
                "lines of {missed} invocations were left out; `mortise logs --since …` shows them"
            ));
            Ok(())
        }
        Ok(line) => show(&line, output),
        Err(_) => {
            output.news(printable(&event.data));
            Ok(())
        }
    }
}

fn show(line: &Value, output: &mut Output) -> Result<(), CliError> {
    output.record(line, format_line(line))?;
    if let Some(dropped) = line["dropped"].as_u64().filter(|dropped| *dropped > 0) {
        let invocation = line["invocation"].as_str().map(printable).unwrap_or_default();
        output.news(format_args!(
            "{dropped} more lines of {invocation} were dropped: it or its tenant logged more than the limits \
             let it (log_lines, log_bytes, log_bytes_per_second)"
        ));
    }
    Ok(())
}

/// A line as people read it: when, how serious, which request, who, what.
fn format_line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().map(printable).unwrap_or_default();
    let mut formatted = format!(
        "{}  {:5}  {}  {}",
        text("at"),
        text("level").to_uppercase(),
        text("invocation"),
        text("plugin"),
    );
    // They are known as long as the invocation's record is kept.
    if line["route"].is_string() {
        formatted.push_str(&format!("  {} {}", text("method"), text("route")));
    } else if line["function"].is_string() {
        formatted.push_str(&format!("  function {}", text("function")));
    }
    formatted.push_str(&format!("  {}", text("message")));
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
            "at": "2026-01-02T03:04:05Z", "level": "warn", "invocation": "0199", "plugin": "orders", "method": "POST",
            "route": "/orders/{id}", "message": "low\nstock", "fields": [["sku", "a1"], ["left", "2"]],
        });
        assert_eq!(
            format_line(&line),
            "2026-01-02T03:04:05Z  WARN   0199  orders  POST /orders/{id}  low\u{fffd}stock  sku=a1  left=2"
        );
        let line = json!({
            "at": "t", "level": "info", "invocation": "i", "plugin": "p", "message": "m", "fields": {"a": "b"},
        });
        assert_eq!(format_line(&line), "t  INFO   i  p  m  a=b");
    }

    #[test]
    fn levels_are_known() {
        assert_eq!(parse_level("warn"), Ok(Level::Warn));
        assert!(parse_level("loud").unwrap_err().contains("trace, debug"));
    }
}
