//! The lines in a plugin's log about an invocation that failed: the exceeded limit, the usage, and
//! the plugin's last host calls.

use std::time::Duration;

use crate::capability::Invocation;
use crate::domain::invocation::Trigger;
use crate::domain::units::ByteSize;
use crate::sandbox::{Failure, Side};

/// The lines for the plugin's log, the most important one last. There are none if the plugin is not
/// at fault.
pub fn lines(failure: &Failure, invocation: &Invocation) -> Vec<String> {
    let (limits, usage, last) = (invocation.limits(), &invocation.usage, &invocation.last_calls);
    let reason = match failure {
        Failure::Trapped(trap) => {
            let mut lines = trap.backtrace.clone();
            lines.push(format!("the plugin trapped: {}; {last}", trap.reason));
            return lines;
        }
        Failure::NoHandler(trigger) => {
            let what = match trigger {
                Trigger::Http => "requests",
                Trigger::Function => "functions",
                Trigger::Job => "jobs",
            };
            return vec![format!("the plugin exports no handler of {what}")];
        }
        Failure::Limit { limit, reason } => format!("{reason} (limit `{limit}`)"),
        Failure::Memory => {
            let (most, held) = (limits.memory, ByteSize(usage.memory_bytes));
            format!("it held {held} and asked for more than the limit `memory` of {most}")
        }
        Failure::Cpu(most) => {
            let used = Duration::from_micros(usage.cpu_us);
            let name = limits_of(invocation.trigger).cpu;
            format!("it used {used:?} of CPU time, more than the limit `{name}` of {most:?}")
        }
        Failure::Timeout(most) => {
            let (took, busy) = (
                Duration::from_micros(usage.wall_us),
                Duration::from_micros(usage.cpu_us),
            );
            let name = limits_of(invocation.trigger).wall;
            format!("it ran for {took:?} ({busy:?} of CPU time), longer than the limit `{name}` of {most:?}")
        }
        Failure::Response(reason) => return vec![format!("invalid response: {reason}")],
        Failure::Body(Side::Output, failure) => {
            return vec![format!("invalid response: {}", failure.reason())];
        }
        Failure::NoInstance | Failure::Body(Side::Input, _) | Failure::Host(_) => return Vec::new(),
    };
    vec![format!("the host stopped the plugin: {reason}; {last}")]
}

/// The text for a job whose attempt failed because of a fault of the host.
pub const HOST_FAILED: &str = "the host failed while it ran the job; the operator's log has the cause";

/// Why an attempt to run a job failed, as one text: the reason first, then what the plugin printed
/// when it panicked, then the backtrace.
pub fn text(failure: &Failure, invocation: &Invocation) -> String {
    let mut lines = lines(failure, invocation);
    let reason = lines.pop().unwrap_or_else(|| match failure {
        Failure::NoInstance => failure.to_string(),
        _ => HOST_FAILED.to_owned(),
    });
    let mut text = vec![reason];
    if matches!(failure, Failure::Trapped(_)) {
        text.extend(panic_message(invocation));
    }
    text.extend(lines);
    text.join("\n")
}

/// What a Rust plugin printed when it panicked: the place and the message.
fn panic_message(invocation: &Invocation) -> impl Iterator<Item = String> {
    let lines = &invocation.log_lines;
    let begin = lines
        .iter()
        .rposition(|line| line.message.contains(" panicked at "));
    let printed = begin.map_or(&[][..], |begin| &lines[begin..]);
    printed.iter().take(PANIC_LINES).map(|line| line.message.clone())
}

/// The most lines of a panic message.
const PANIC_LINES: usize = 5;

/// The names of the limits of time.
struct TimeLimits {
    cpu: &'static str,
    wall: &'static str,
}

/// The names of the limits of time that hold for a trigger.
fn limits_of(trigger: Trigger) -> TimeLimits {
    match trigger {
        Trigger::Http | Trigger::Function => TimeLimits {
            cpu: "cpu",
            wall: "wall",
        },
        Trigger::Job => TimeLimits {
            cpu: "job_cpu",
            wall: "job_wall",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::testing;
    use crate::domain::grant::Grants;
    use crate::domain::limits::Limits;
    use crate::sandbox::{CheckFailure, Mismatch, Trapped};

    fn told(failure: &Failure) -> Vec<String> {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        invocation.usage.cpu_us = 51_500;
        invocation.usage.wall_us = 5_000_200;
        invocation.usage.memory_bytes = 67_108_864;
        invocation.last_calls.note("db.query");
        lines(failure, &invocation)
    }

    #[test]
    fn a_limit_is_named_with_its_value_and_with_what_was_used() {
        let last = "; its last host calls: db.query";
        for (failure, line) in [
            (
                Failure::Cpu(Duration::from_millis(50)),
                "the host stopped the plugin: it used 51.5ms of CPU time, more than the limit `cpu` of 50ms",
            ),
            (
                Failure::Timeout(Duration::from_secs(5)),
                "the host stopped the plugin: it ran for 5.0002s (51.5ms of CPU time), longer than the limit `wall` of 5s",
            ),
            (
                Failure::Memory,
                "the host stopped the plugin: it held 64MiB and asked for more than the limit `memory` of 64MiB",
            ),
            (
                Failure::Limit {
                    limit: "host_calls",
                    reason: "this invocation has made its 1000 host calls".to_owned(),
                },
                "the host stopped the plugin: this invocation has made its 1000 host calls (limit `host_calls`)",
            ),
        ] {
            assert_eq!(told(&failure), [format!("{line}{last}")]);
        }
    }

    #[test]
    fn a_job_has_limits_of_time_of_its_own() {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        invocation.trigger = Trigger::Job;
        for (failure, name) in [
            (Failure::Cpu(Duration::from_secs(1)), "the limit `job_cpu` of 1s"),
            (
                Failure::Timeout(Duration::from_secs(60)),
                "the limit `job_wall` of 60s",
            ),
        ] {
            let lines = lines(&failure, &invocation);
            assert!(lines[0].contains(name), "{lines:?}");
        }
    }

    #[test]
    fn a_trap_is_told_after_where_it_was() {
        let trap = Failure::Trapped(Trapped {
            reason: "wasm `unreachable` instruction executed".to_owned(),
            backtrace: vec!["    0:  0x1 - plugin!handle".to_owned()],
        });
        assert_eq!(
            told(&trap),
            [
                "    0:  0x1 - plugin!handle",
                "the plugin trapped: wasm `unreachable` instruction executed; its last host calls: db.query"
            ]
        );
    }

    #[test]
    fn a_trapped_job_is_told_with_its_panic_message() {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        for line in ["before", "thread 'main' panicked at src/lib.rs:7:5:", "no stock"] {
            crate::capability::log::append(&mut invocation, crate::domain::log_line::Level::Error, line, &[]);
        }
        let trap = Failure::Trapped(Trapped {
            reason: "wasm `unreachable` instruction executed".to_owned(),
            backtrace: vec!["    0:  0x1 - plugin!run".to_owned()],
        });
        let text = text(&trap, &invocation);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("the plugin trapped: wasm `unreachable`"),
            "{text}"
        );
        assert_eq!(
            lines[1..],
            [
                "thread 'main' panicked at src/lib.rs:7:5:",
                "no stock",
                "    0:  0x1 - plugin!run"
            ]
        );
    }

    #[test]
    fn a_response_that_does_not_match_is_told_with_the_first_place() {
        let failure = |mismatches| Failure::Body(Side::Output, CheckFailure::Mismatch(mismatches));
        let mismatch = Mismatch {
            pointer: "/id".to_owned(),
            detail: "\"a\" is not a number".to_owned(),
        };
        assert_eq!(
            told(&failure(vec![mismatch])),
            ["invalid response: the body does not match its schema at `/id`: \"a\" is not a number"]
        );
        assert_eq!(
            told(&failure(Vec::new())),
            ["invalid response: the body does not match its schema"]
        );
    }

    #[test]
    fn what_is_not_the_plugins_is_not_in_its_log() {
        assert!(told(&Failure::NoInstance).is_empty());
        let body = CheckFailure::NotJson("expected value".to_owned());
        assert!(told(&Failure::Body(Side::Input, body)).is_empty());
    }
}
