//! Tests of `mortise logs`: output, following across a restart of the host, and interruption.

use std::io::BufRead as _;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::cli::{demanding, deploy, host};
use super::host::{HostProcess, Process, mortise, until};

fn say(host: &HostProcess, message: &str) -> String {
    let body = json!({ "message": message });
    let said = host.http().post("/acme/capabilities/log", &body);
    assert_eq!(said.status, 200, "{}", said.text());
    said.headers["x-request-id"].to_str().unwrap().to_owned()
}

#[test]
fn logs_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let first = say(&host, "the first line");
    say(&host, "another line");
    let logs = |more: &[&str]| host.cli(&[&["logs", "--tenant", "acme"], more].concat());
    until(|| logs(&[]).ok().contains("another line").then_some(()));
    let of_first = logs(&["--invocation", &first]).ok();
    let wanted = format!("INFO   {first}  capabilities  POST /{{*rest}}  the first line  index=0");
    assert!(of_first.contains(&wanted), "{of_first}");
    assert_eq!(of_first.lines().count(), 1);
    for none in [&["--level", "warn"], &["--limit", "0"]] {
        let none = logs(none);
        assert_eq!(
            (none.stdout.as_str(), none.stderr.as_str()),
            ("", "nothing there\n")
        );
    }
    assert_eq!(logs(&["--since", "5min"]).ok().lines().count(), 2);
    assert_eq!(logs(&["--limit", "1"]).ok().lines().count(), 1);
    // More lines than one page has.
    for number in 0..210 {
        say(&host, &format!("line {number}"));
    }
    let many = until(|| Some(logs(&["--limit", "211"]).ok()).filter(|text| text.contains("line 209")));
    assert_eq!(many.lines().count(), 211);
    assert!(many.lines().next().unwrap().contains("another line"), "{many}");
    for limit in ["0", "201"] {
        let said = logs(&["--follow", "--limit", limit]).fails(2);
        let wanted = format!("--follow begins with 1 to 200 lines, and --limit {limit} was given");
        assert!(said.contains(&wanted), "{said}");
    }
    for follow in [&[][..], &["--follow"]] {
        let said = logs(&[&["--plugin", "nope"], follow].concat()).fails(1);
        assert!(said.contains("there is no such plugin"), "{said}");
    }
}

#[test]
fn a_log_is_followed_over_a_restart_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let host = host(data);
    deploy(&host, &demanding(data, "1.0.0"));
    say(&host, "the first line");
    let other = say(&host, "another line");
    until(|| {
        let shown = host.cli(&["logs", "--tenant", "acme"]).ok();
        shown.contains("another line").then_some(())
    });

    let follow = ["logs", "--follow", "--json", "--tenant", "acme"];
    let narrow = [&follow[..], &["--invocation", &other]].concat();
    let mut narrow = Process::spawn(&mut host.command(&narrow));
    let mut follower = Process::spawn(&mut host.command(&follow));
    let mut lines = follower.stdout().lines().map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        line["message"].clone()
    });
    assert_eq!(lines.next().unwrap(), "the first line");
    assert_eq!(lines.next().unwrap(), "another line");
    let mut only = narrow.stdout().lines();
    assert!(only.next().unwrap().unwrap().contains("another line"));
    say(&host, "a line that came later");
    assert_eq!(lines.next().unwrap(), "a line that came later");

    let admin = host.admin.to_string();
    host.stop();
    let host = HostProcess::start_command(&mut serve_at(data, &admin));
    say(&host, "a line of the next host");
    assert_eq!(lines.next().unwrap(), "a line of the next host");

    for process in [&mut follower, &mut narrow] {
        kill_process(process.pid(), Signal::INT).unwrap();
        assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
    }
    assert_eq!(lines.next(), None);
    assert!(only.next().is_none(), "lines of other invocations are not shown");
}

/// The command of a host with the same admin address.
fn serve_at(data: &std::path::Path, admin: &str) -> std::process::Command {
    let mut command = mortise(&["serve", "--public", "127.0.0.1:0", "--admin", admin]);
    command.arg("--data").arg(data).envs([
        ("MORTISE_LOG__FORMAT", "json"),
        ("MORTISE_RUNTIME__INSTANCES", "16"),
        ("MORTISE_CEILING__CPU", "10s"),
        ("MORTISE_LIMITS__CPU", "10s"),
        ("MORTISE_LIMITS__WALL", "30s"),
    ]);
    command
}
