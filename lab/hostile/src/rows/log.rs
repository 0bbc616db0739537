//! J5 and J6: secrets and forgery in plugin logs.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::Stage;

pub const ROWS: [Row; 2] = [
    Row {
        id: "J5",
        tried: "a secret printed to the log, and one of somebody else asked for by name",
        run: j5,
    },
    Row {
        id: "J6",
        tried: "logging without end, megabytes in a line, control characters, forged JSON",
        run: j6,
    },
];

fn j5(stage: &Stage) -> Seen {
    const SECRET: &str = "s3cret-value-of-the-tenant";
    let host = stage.plain()?;
    let tenant = attacker(stage, "j5", &stage.guests.capabilities)?;
    for name in ["revealed", "usable", "foreign"] {
        tenant.secret(name, SECRET)?;
    }
    let input = json!({ "reveal": "revealed", "message": format!("again {SECRET}") });
    let reply = tenant.post("capabilities", "/log", &input)?.is("200")?;
    let log = Value::from(tenant.log(&reply)?).to_string();
    ensure!(log.contains("[secret]") && !log.contains(SECRET), "{log}");
    for name in ["usable", "foreign", "nowhere", ""] {
        let answer = tenant
            .post("capabilities", "/secrets/reveal", &json!({ "name": name }))?
            .is("200")?;
        ensure!(
            answer.body()?["error"].is_string() && !answer.text().contains(SECRET),
            "{name}: {}",
            answer.text()
        );
    }
    let other = attacker(stage, "j5-other", &stage.guests.capabilities)?;
    let answer = other
        .post("capabilities", "/secrets/reveal", &json!({ "name": "revealed" }))?
        .is("200")?;
    ensure!(answer.body()?["error"].is_string(), "{}", answer.text());
    ensure!(!host.log().contains(SECRET), "it is in the host's log");
    for file in ["mortise.db", "mortise.db-wal"] {
        let bytes = std::fs::read(host.data().join(file)).unwrap_or_default();
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        ensure!(!found, "it stands in {file}");
    }
    Ok("redacted in the log, refused by name, sealed on disk".to_owned())
}

fn j6(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "j6", &stage.guests.attacks)?;
    tenant.limit(&json!({ "cpu": stage.patient(), "host_calls": 10_000 }))?;
    tenant.deploy(&stage.guests.capabilities)?;
    let flood = tenant
        .post("attacks", "/log-flood", &json!({ "lines": 5_000 }))?
        .is("200|502 plugin-trapped")?;
    let usage = tenant.record(&flood)?["usage"].clone();
    let (kept, dropped) = (&usage["log_lines"], &usage["log_lines_dropped"]);
    ensure!(
        kept.as_u64().is_some_and(|kept| (1..=200).contains(&kept)),
        "{usage}"
    );
    ensure!(dropped.as_u64().is_some_and(|dropped| dropped > 0), "{usage}");

    let long = json!({ "message": "x".repeat(900_000) });
    let reply = tenant.post("capabilities", "/log", &long)?.is("200")?;
    let line = tenant
        .log(&reply)?
        .first()
        .and_then(|line| line["message"].as_str().map(str::len));
    ensure!(
        line.is_some_and(|length| length <= 8_192),
        "a line of {line:?} bytes"
    );

    let forged =
        "\u{1b}[2J\r\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"forged by a plugin\"}}\u{202e}\0";
    let reply = tenant
        .post("capabilities", "/log", &json!({ "message": forged }))?
        .is("200")?;
    let log = tenant.log(&reply)?;
    ensure!(log.len() == 1, "{log:?}");
    let message = log[0]["message"].as_str().context("a message")?;
    ensure!(!message.chars().any(char::is_control), "{message:?}");
    let is_forged = |line: &str| line.starts_with('{') && line.contains("forged by a plugin");
    ensure!(
        !host.log().lines().any(is_forged),
        "a line of the host's log was forged"
    );
    let written = host.admin().get("/api/v1/node")?.ok()?["ledger"]["lost"].clone();
    ensure!(written == 0, "{written} records were lost");
    Ok(format!(
        "{kept} lines kept and {dropped} dropped of 5,000; a long line cut at {} bytes",
        line.unwrap_or(0)
    ))
}
