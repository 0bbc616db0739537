//! Tests that a host that cannot start prints the reason in one line and exits with an error.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::host::{HostProcess, finish, mortise, serve};

/// Runs a command that must fail. Returns its one-line error.
#[track_caller]
fn complaint(command: &mut Command) -> String {
    let stderr = finish(command, "").fails(1);
    let complaints: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(complaints.len(), 1, "{stderr}");
    assert!(
        !stderr.contains("panicked") && !stderr.contains("the host is ready"),
        "{stderr}"
    );
    complaints[0].to_owned()
}

/// Creates a data folder that a host has used.
fn used(data: &Path) {
    HostProcess::start(data).stop();
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = mortise(&["serve", "--public", &address, "--admin", "127.0.0.1:0"]);
    let said = complaint(command.arg("--data").arg(folder.path().join("data")));
    assert_eq!(
        said,
        format!(
            "error: cannot listen on {address}: Address already in use (os error 98); stop what uses it, or choose \
             another address in the configuration"
        )
    );
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::write(&data, "").unwrap();
    let said = complaint(&mut serve(&data));
    let wanted = format!("error: cannot use the data folder {}: ", data.display());
    assert!(said.starts_with(&wanted), "{said}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path());
    let key = folder.path().join("host.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(
        complaint(&mut serve(folder.path())),
        format!(
            "error: the host key {} can be read by others (mode 644); run `chmod 600` on it",
            key.display()
        )
    );
}

#[test]
fn a_key_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path());
    let key = folder.path().join("host.key");
    std::fs::write(&key, "cut off").unwrap();
    let wanted = format!(
        "error: the host key {} does not hold 64 hexadecimal digits",
        key.display()
    );
    assert_eq!(complaint(&mut serve(folder.path())), wanted);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path());
    let database = crate::shared::open_database(folder.path().join("mortise.db"));
    database
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99990101000000, 'the future', 1, x'00', 0)",
            (),
        )
        .unwrap();
    drop(database);
    let said = complaint(&mut serve(folder.path()));
    let wanted = "error: the database of the control plane cannot be used: the database has migration 99990101000000, \
                  but this mortise knows only up to ";
    assert!(said.starts_with(wanted), "{said}");
    assert!(
        said.ends_with("; run a newer mortise or restore a backup from before the upgrade"),
        "{said}"
    );
}

#[test]
fn a_second_host_leaves_the_folder_to_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = HostProcess::start(folder.path());
    let wanted = format!(
        "error: another host uses the data folder {}; stop it, or set `data.folder` to another one",
        folder.path().display()
    );
    assert_eq!(complaint(&mut serve(folder.path())), wanted);
    assert_eq!(first.http().get("/-/readyz").status, 200);
    first.stop();
}

#[test]
fn an_unknown_key_of_the_configuration_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("mortise.toml"),
        "[server]\npublik = '127.0.0.1:1'\n",
    )
    .unwrap();
    let stderr = finish(mortise(&["serve"]).current_dir(folder.path()), "").fails(1);
    for wanted in [
        "error: mortise.toml: ",
        "line 2",
        "unknown field `publik`",
        "hint: mortise.example.toml",
    ] {
        assert!(stderr.contains(wanted), "{stderr}");
    }
    assert!(!folder.path().join("mortise-data").exists());
    let absent = finish(&mut mortise(&["serve", "--config", "/nope.toml"]), "").fails(1);
    assert!(
        absent.starts_with("error: cannot read /nope.toml") && !absent.contains("hint: "),
        "{absent}"
    );
}

#[test]
fn an_unknown_variable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(
        complaint(serve(&data).env("MORTISE_SERVER__PUBLIK", "127.0.0.1:1")),
        "error: the environment variable MORTISE_SERVER__PUBLIK names no key of the configuration; a key \
         `section.key` is written MORTISE_SECTION__KEY"
    );
    assert_eq!(
        complaint(serve(&data).env("MORTISE_LIMITS__CPU", "soon"))
            .split(':')
            .nth(1),
        Some(" the environment variable MORTISE_LIMITS__CPU does not fit")
    );
    assert_eq!(
        complaint(serve(&data).env("MORTISE_SERVER_PUBLIC", "127.0.0.1:1")),
        "error: environment variables of the configuration have other names by now: MORTISE_SERVER_PUBLIC is now \
         MORTISE_SERVER__PUBLIC"
    );
    assert!(!data.exists(), "nothing was opened");
}

#[test]
fn variables_that_kubernetes_sets_are_ignored_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("MORTISE_PORT", "tcp://10.0.0.1:8081"),
        ("MORTISE_SERVICE_HOST", "10.0.0.1"),
    ];
    let host = HostProcess::start_with(folder.path(), &variables);
    let log = host.log();
    assert!(
        log.contains("MORTISE_PORT MORTISE_SERVICE_HOST") && log.contains("are ignored"),
        "{log}"
    );
    host.stop();
}

#[test]
fn a_rule_about_an_import_that_there_is_not_is_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let rules = r#"["wasi:randon/*", "wasi:random/*"]"#;
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_SHIELD__IMPORTS", rules)]);
    let log = host.log();
    assert!(
        log.contains("no interface of this host matches this rule"),
        "{log}"
    );
    assert!(
        log.contains("wasi:randon/*") && !log.contains("wasi:random/*"),
        "{log}"
    );
    host.stop();
}
