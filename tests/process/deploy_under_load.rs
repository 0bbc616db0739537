//! Tests the deployment of a new version under load: no request fails, and none gets the old
//! version after the new one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::host::{HostProcess, until};
use super::plugin::{self, PLUGIN};

const CALLERS: usize = 4;
const AT_LEAST: usize = 20;
const FIRST: &str = "1.0.0";
const SECOND: &str = "2.0.0";

#[test]
fn a_deployment_fails_no_request_and_shows_versions_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    let operator = host.operator();
    plugin::tenant(&operator);
    plugin::deploy(&operator, FIRST).unwrap();

    let done = AtomicBool::new(false);
    let seen: Vec<Mutex<Vec<String>>> = (0..CALLERS).map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for seen in &seen {
            let (http, done) = (host.http(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let answer = http.send("GET", &format!("{PLUGIN}/context"), None);
                    let answer =
                        answer.map_or_else(|error| error.to_string(), |reply| plugin::version(&reply));
                    seen.lock().unwrap().push(answer);
                }
            });
        }
        let all_saw = |version: &str| {
            seen.iter().all(|seen| {
                let seen = seen.lock().unwrap();
                seen.iter().filter(|answer| *answer == version).count() >= AT_LEAST
            })
        };
        // The callers must end even if this fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(|| all_saw(FIRST).then_some(()));
            plugin::deploy(&operator, SECOND).unwrap();
            until(|| all_saw(SECOND).then_some(()));
        }));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    for seen in &seen {
        let mut answers = seen.lock().unwrap().clone();
        answers.dedup();
        assert_eq!(answers, [FIRST, SECOND], "in order, and nothing else");
    }
    host.stop();
}
