//! Requests as fast as they are answered: with wrk where it is found, since it leaves more of the processors to the server,
//! otherwise with the load generator of this repository.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};

use crate::processor::Spent;

/// The generator at work.
#[derive(Clone, Debug)]
pub enum Generator {
    /// wrk, and the folder of its scripts.
    Wrk(PathBuf),
    /// The crate `load`.
    Load,
}

/// A request that is sent again and again.
#[derive(Clone, Debug)]
pub struct Repeated {
    pub address: SocketAddr,
    /// Where it goes, in turn.
    pub paths: Vec<String>,
    pub headers: Vec<(&'static str, String)>,
    /// Sent with `POST` where there is one.
    pub body: Option<String>,
}

/// How fast it was.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Answers of 200, and how many of them each second.
    pub answers: f64,
    pub per_second: f64,
    /// The latency that half of them did not exceed, and 99 of 100, in milliseconds.
    pub p50: f64,
    pub p99: f64,
}

impl Generator {
    /// What is found on this machine. Scripts are written to `folder`.
    pub fn find(folder: &Path) -> Self {
        match Command::new("wrk").arg("--version").output() {
            Ok(_) => Self::Wrk(folder.to_owned()),
            Err(_) => Self::Load,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wrk(_) => "wrk, one thread",
            Self::Load => "the crate `load`, one thread (wrk was not found)",
        }
    }

    /// Processor time that it has spent so far.
    pub fn spent(&self) -> Result<Spent> {
        match self {
            Self::Wrk(_) => Spent::by_children(),
            Self::Load => Spent::by(std::process::id()),
        }
    }

    /// Sends `request` over so many connections for `time`.
    pub fn run(&self, request: &Repeated, connections: usize, time: Duration) -> Result<Speed> {
        match self {
            Self::Wrk(folder) => wrk(folder, request, connections, time),
            Self::Load => closed_loop(request, connections, time),
        }
    }
}

impl Repeated {
    /// As a call of the crate `load`.
    pub fn call(&self) -> Call {
        let mut call = match &self.body {
            Some(body) => Call::post(self.address, "/").body("application/json", body.clone()),
            None => Call::get(self.address, "/"),
        }
        .paths(&self.paths);
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        call
    }

    fn script(&self) -> String {
        let mut script = String::new();
        // Writing to a string does not fail.
        if let Some(body) = &self.body {
            let _ = write!(
                script,
                "wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = '{body}'\n"
            );
        }
        for (name, value) in &self.headers {
            let _ = writeln!(script, "wrk.headers['{name}'] = '{value}'");
        }
        let paths = self.paths.join("','");
        let _ = write!(
            script,
            "local paths = {{'{paths}'}}\nlocal turn = 0\nlocal made = {{}}\n\
             function init() for i, p in ipairs(paths) do made[i] = wrk.format(nil, p) end end\n\
             function request() turn = turn % #made + 1; return made[turn] end\n"
        );
        script.push_str(
            "function done(summary, latency)\n\
             \x20 local e = summary.errors\n\
             \x20 io.write(string.format('measured %d %f %f %f %d\\n', summary.requests, summary.requests / summary.duration * 1e6,\n\
             \x20   latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))\n\
             end\n",
        );
        script
    }
}

fn wrk(folder: &Path, request: &Repeated, connections: usize, time: Duration) -> Result<Speed> {
    let script = folder.join("request.lua");
    std::fs::write(&script, request.script())?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .arg("--duration")
        .arg(format!("{}s", time.as_secs().max(1)))
        .arg("--script")
        .arg(&script)
        .arg(format!("http://{}/", request.address))
        .output()
        .context("wrk runs")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let line = line.with_context(|| format!("wrk says what it measured: {text}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [answers, per_second, p50, p99, errors] = numbers[..] else {
        anyhow::bail!("wrk says what it measured: {line}");
    };
    ensure!(errors == 0.0, "{errors} requests of {} failed", request.paths[0]);
    Ok(Speed {
        answers,
        per_second,
        p50,
        p99,
    })
}

fn closed_loop(request: &Repeated, connections: usize, time: Duration) -> Result<Speed> {
    let report = ClosedLoop::new(request.call(), connections, time).run()?;
    ensure!(
        report.failures() == 0,
        "{}: {}",
        request.paths[0],
        report.trouble()
    );
    let latency = report.latency(200);
    Ok(Speed {
        #[expect(clippy::cast_precision_loss, reason = "fewer than a double tells apart")]
        answers: report.responses(|status| status == 200) as f64,
        per_second: report.per_second(200),
        p50: latency.p50().as_secs_f64() * 1e3,
        p99: latency.p99().as_secs_f64() * 1e3,
    })
}
