//! Tests of restarts: after a normal end, after damage on disk, and after a kill at any time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;
use tokio::time::Instant;

use super::host::{HostProcess, until};
use super::http::Http;
use super::plugin::{self, PLUGIN};
use super::shop::Shop;

const KILLS: u32 = 20;
const SEED: u64 = 0x6d6f_7274_6973_6521;
/// A kill comes within the time of this many uploads with their activations.
const DEPLOYMENTS: u32 = 2;

#[test]
fn everything_is_found_as_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    let shop = Shop::open(&host);
    let product = shop.product(4990, 3);
    let order = shop.order(product, 1).expect(201);
    let versions = host.cli(&[
        "versions", "list", "--tenant", "shop", "--plugin", "orders", "--json",
    ]);
    let versions = versions.json();
    assert_eq!(versions[0]["active"], true);
    let (key, token) = (
        shop.key.clone(),
        std::fs::read_to_string(host.token_file()).unwrap(),
    );
    host.stop();

    let host = HostProcess::start(folder.path());
    assert_eq!(std::fs::read_to_string(host.token_file()).unwrap(), token);
    let shop = Shop::known(&host, &key);
    assert_eq!(host.cli(&["tenants", "list", "--json"]).json()[0]["name"], "shop");
    let again = host.cli(&[
        "versions", "list", "--tenant", "shop", "--plugin", "orders", "--json",
    ]);
    assert_eq!(again.json(), versions);
    let path = format!("/orders/{}", order["id"]);
    assert_eq!(
        shop.get(&path).expect(200),
        order,
        "by the same key, from the same rows"
    );
    assert_eq!(
        shop.pay("e1", &order).expect(200),
        json!({ "outcome": "applied", "completion": "confirmed" }),
        "under the same secret"
    );
    assert_eq!(shop.get(&path).expect(200)["status"], "paid");
    host.stop();
}

#[test]
fn damaged_code_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    host.stop();

    let code = compiled(folder.path());
    let intact = std::fs::read(&code).unwrap();
    let mut damaged = intact.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 16]
        .iter_mut()
        .for_each(|byte| *byte ^= 0xff);
    for harm in [damaged, intact[..intact.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&code, harm).unwrap();
        let host = HostProcess::start(folder.path());
        assert_eq!(answer(&host.http()), "1.0.0");
        until(|| host.log().contains("compiling again").then_some(()));
        host.stop();
        assert!(std::fs::read(&code).unwrap() == intact, "the file is whole again");
    }
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_version_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let begin = Instant::now();
    plugin::deploy(&host.operator(), "1.0.1").unwrap();
    let max_delay = begin.elapsed() * DEPLOYMENTS;
    host.stop();

    let mut random = SEED;
    let mut served = "1.0.1".to_owned();
    let mut interrupted = 0;
    for round in 1..=KILLS {
        let host = HostProcess::start(folder.path());
        assert_eq!(
            answer(&host.http()),
            served,
            "round {round}, before anything is deployed"
        );
        let operator = host.operator();
        let progress = Mutex::new((served.clone(), served.clone()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for patch in 0.. {
                    let version = format!("1.{round}.{patch}");
                    progress.lock().unwrap().1.clone_from(&version);
                    match plugin::deploy(&operator, &version) {
                        Ok(()) => progress.lock().unwrap().0 = version,
                        // The host is gone.
                        Err(_) => break,
                    }
                }
            });
            until(|| (progress.lock().unwrap().1 != served).then_some(()));
            random = next_random(random);
            // This uses real time, because the kill must come at any moment of another process's
            // work.
            std::thread::sleep(max_delay * u32::try_from(random % 1_000).unwrap() / 1_000);
            host.kill();
        });
        let (old, new) = progress.into_inner().unwrap();
        let host = HostProcess::start(folder.path());
        served = answer(&host.http());
        assert!(
            served == old || served == new,
            "round {round}: {served} is neither {old} nor {new}"
        );
        interrupted += u32::from(old != new);
        // Interrupted changes can be repeated.
        if round % 5 == 0 {
            plugin::deploy(&host.operator(), &new).unwrap();
            served = answer(&host.http());
            assert_eq!(served, new, "round {round}");
        }
        host.kill();
    }
    assert!(
        interrupted >= KILLS / 2,
        "only {interrupted} kills came in the middle of something"
    );
}

/// The version that is served.
#[track_caller]
fn answer(http: &Http) -> String {
    plugin::version(&http.get(&format!("{PLUGIN}/context")))
}

/// The single file of compiled code.
fn compiled(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data.join("compiled")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// The next number of a reproducible sequence (xorshift).
fn next_random(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}
