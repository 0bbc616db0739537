//! `mortise logs`: shows or follows the logs of plugins.

use std::io::BufReader;
use std::time::Duration;

use clap::Args;

use super::client::Client;
use super::moment;
use super::output::printable;
use super::sse;
use super::{CliError, Output, TenantArgument};
use crate::domain::clock::Timestamp;
use crate::domain::log_line::Level;
use crate::wire::logs::LogLineView;

/// Time until the next attempt after a broken stream. Each failed attempt doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The most recent lines that the host sends at the start.
const MOST_RECENT: usize = 200;

/// Arguments of `mortise logs`.
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
    /// Number of lines, the most recent ones; with --follow 1 to 200
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Wait for further lines until Ctrl-C, also across restarts of the host
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
            let mut lines: Vec<LogLineView> = client.first(&path, &query, self.limit)?;
            if lines.is_empty() && !output.is_json() {
                output.news("nothing there");
            }
            lines.reverse();
            return lines.iter().try_for_each(|line| show(line, output));
        }
        if !(1..=MOST_RECENT).contains(&self.limit) {
            return Err(CliError::Usage(format!(
                "--follow begins with 1 to {MOST_RECENT} lines, and --limit {} was given; `mortise logs` without \
                 --follow lists more",
                self.limit
            )));
        }
        let limit = self.limit.to_string();
        query.extend([("limit", limit.as_str()), ("follow", "true")]);
        end_well_on_interruption();
        follow(client, &path, &query, output)
    }
}

/// Shows new lines until an error occurs that a further attempt cannot fix.
fn follow(
    client: &Client,
    path: &[&str],
    query: &[(&str, &str)],
    output: &mut Output,
) -> Result<(), CliError> {
    let mut last: Option<String> = None;
    // The first request is not repeated, since the address or the token may be wrong.
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
                output.news("the stream ended; the host may be restarting, so mortise connects again");
            }
            Err(error) if has_followed && error.may_pass() => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Ctrl-C ends following and is not a failure.
fn end_well_on_interruption() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without the runtime, Ctrl-C ends the process in the usual way.
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            std::process::exit(0);
        }
    });
}

fn show_event(event: &sse::Event, output: &mut Output) -> Result<(), CliError> {
    if event.kind == "missed" {
        output.news(format_args!(
            "lines of {} invocations were skipped; `mortise logs --since …` shows them",
            printable(&event.data)
        ));
        return Ok(());
    }
    match serde_json::from_str::<LogLineView>(&event.data) {
        Ok(line) => show(&line, output),
        Err(_) => {
            output.news(printable(&event.data));
            Ok(())
        }
    }
}

fn show(line: &LogLineView, output: &mut Output) -> Result<(), CliError> {
    output.record(line, format_line(line))?;
    if let Some(dropped) = line.dropped.filter(|dropped| *dropped > 0) {
        output.news(format_args!(
            "{dropped} more lines of {} were dropped: it or its tenant logged more than the limits \
             let it (log_lines, log_bytes, log_bytes_per_second)",
            line.invocation
        ));
    }
    Ok(())
}

/// A line for people: time, level, invocation, plugin, request and text.
fn format_line(line: &LogLineView) -> String {
    let mut formatted = format!(
        "{}  {:5}  {}  {}",
        line.at,
        line.level.as_str().to_uppercase(),
        line.invocation,
        line.plugin,
    );
    // Method and route are known while the invocation's record is stored.
    if let (Some(method), Some(route)) = (&line.method, &line.route) {
        formatted.push_str(&format!("  {} {}", printable(method), printable(route)));
    } else if let Some(function) = &line.function {
        formatted.push_str(&format!("  function {function}"));
    } else if let (Some(job), Some(attempt)) = (&line.job, line.attempt) {
        formatted.push_str(&format!("  job {job}, attempt {attempt}"));
    }
    formatted.push_str(&format!("  {}", printable(&line.message)));
    for (name, value) in &line.fields {
        formatted.push_str(&format!("  {}={}", printable(name), printable(value)));
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
            "invocation": "0190a5c0-0000-7000-8000-000000000001", "method": "POST", "route": "/orders/{id}",
            "fields": [["sku", "a1"], ["left", "2"]],
        });
        assert_eq!(
            format_line(&serde_json::from_value(line).unwrap()),
            "2026-01-02T03:04:05.000Z  WARN   0190a5c0-0000-7000-8000-000000000001  orders  POST /orders/{id}  \
             low\u{fffd}stock  sku=a1  left=2"
        );
        let line = json!({
            "at": "2026-01-02T03:04:05Z", "level": "info", "plugin": "p", "message": "m", "fields": [],
            "invocation": "0190a5c0-0000-7000-8000-000000000001",
        });
        assert_eq!(
            format_line(&serde_json::from_value(line).unwrap()),
            "2026-01-02T03:04:05.000Z  INFO   0190a5c0-0000-7000-8000-000000000001  p  m"
        );
        let line = json!({
            "at": "2026-01-02T03:04:05Z", "level": "info", "plugin": "p", "message": "m", "fields": [],
            "invocation": "0190a5c0-0000-7000-8000-000000000001", "job": "sync-erp", "attempt": 2,
        });
        assert_eq!(
            format_line(&serde_json::from_value(line).unwrap()),
            "2026-01-02T03:04:05.000Z  INFO   0190a5c0-0000-7000-8000-000000000001  p  job sync-erp, attempt 2  m"
        );
    }

    #[test]
    fn levels_are_known() {
        assert_eq!(parse_level("warn"), Ok(Level::Warn));
        assert!(parse_level("loud").unwrap_err().contains("trace, debug"));
    }
}
