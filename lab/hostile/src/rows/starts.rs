//! K7 to K9: starts with invalid folders and configurations.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::within;

use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage};

pub const ROWS: [Row; 3] = [
    Row {
        id: "K7",
        tried: "a second host on the same folder, also by another name for it",
        run: k7,
    },
    Row {
        id: "K8",
        tried: "noise where the control database was",
        run: k8,
    },
    Row {
        id: "K9",
        tried: "configurations with wrong names, types and values",
        run: k9,
    },
];

/// Starts a host, which must fail soon, and returns its output.
fn refused(command: &mut Command) -> Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = within(Duration::from_secs(20), "the end of a start", || {
        Ok(child.try_wait()?)
    });
    if ended.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = ended.with_context(|| format!("it went on: {said}"))?;
    ensure!(!status.success() && status.code().is_some(), "{status}: {said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(said)
}

fn serve(stage: &Stage, data: &std::path::Path) -> Command {
    let mut command = Command::new(stage.executable());
    command
        .args([
            "serve",
            "--public",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data);
    command
}

fn k7(stage: &Stage) -> Seen {
    let host = stage.fresh(&stage.launch())?;
    let links = tempfile::tempdir()?;
    let link = links.path().join("link");
    std::os::unix::fs::symlink(host.data(), &link)?;
    for folder in [host.data(), &link] {
        let said = refused(&mut serve(stage, folder))?;
        ensure!(!said.trim().is_empty(), "it says nothing");
    }
    host.http().get(GOOD_PATH)?.is("200")?;
    host.stop()?;
    Ok("refused both times, the first one serves on".to_owned())
}

fn k8(stage: &Stage) -> Seen {
    let folder = stage.fresh(&stage.launch())?.stop()?;
    let database = folder.path().join("mortise.db");
    let intact = std::fs::read(&database)?;
    let noise: Vec<u8> = (0..intact.len())
        .map(|_| u8::try_from(stage.random(256)).unwrap_or(0))
        .collect();
    // Otherwise the content of the journal would be read instead.
    let journals = ["mortise.db-wal", "mortise.db-shm"].map(|name| folder.path().join(name));
    let kept: Vec<Option<Vec<u8>>> = journals.iter().map(|path| std::fs::read(path).ok()).collect();
    for path in journals.iter().filter(|path| path.exists()) {
        std::fs::remove_file(path)?;
    }
    std::fs::write(&database, &noise)?;
    refused(&mut serve(stage, folder.path()))?;
    ensure!(std::fs::read(&database)? == noise, "the file was written to");
    std::fs::write(&database, intact)?;
    for (path, content) in journals.iter().zip(kept) {
        if let Some(content) = content {
            std::fs::write(path, content)?;
        }
    }
    let host = stage.launch().start_on(folder)?;
    host.http().get(GOOD_PATH)?.is("200")?;
    host.stop()?;
    Ok("refused, nothing was touched, and with the file back everything serves".to_owned())
}

fn k9(stage: &Stage) -> Seen {
    let settings = [
        ("MORTISE_LIMITS__MEMORY", "much"),
        ("MORTISE_LIMITS__CPU", "-1s"),
        ("MORTISE_LIMITS__NOTHING", "1"),
        ("MORTISE_RUNTIME__INSTANCES", "many"),
        ("MORTISE_SERVER__HEADER_TIMEOUT", "10"),
        ("MORTISE_LOG__FORMAT", "poem"),
    ];
    for (name, value) in settings {
        let folder = tempfile::tempdir()?;
        let said = refused(serve(stage, folder.path()).env(name, value))
            .with_context(|| format!("{name}={value}"))?;
        ensure!(said.lines().count() <= 3, "{name}: more than a few lines: {said}");
    }
    Ok(format!(
        "{} of {} refused in a line",
        settings.len(),
        settings.len()
    ))
}
