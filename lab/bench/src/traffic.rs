//! Sends requests with wrk, as fast as they are answered.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::Call;

use crate::processor::Spent;

/// wrk, with the folder of its scripts.
#[derive(Clone, Debug)]
pub struct Generator(PathBuf);

/// A request to repeat.
#[derive(Clone, Debug)]
pub struct Repeated {
    pub address: SocketAddr,
    /// Its paths, which are used in turn.
    pub paths: Vec<String>,
    pub headers: Vec<(&'static str, String)>,
    /// The body, if it is a `POST`.
    pub body: Option<String>,
}

/// The measured throughput and latency.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// The number of responses with the status 200, and their rate per second.
    pub answers: f64,
    pub per_second: f64,
    /// The median and the 99th percentile of the latency, in milliseconds.
    pub p50: f64,
    pub p99: f64,
}

impl Generator {
    /// Finds wrk on this machine. Its scripts are written to `folder`.
    pub fn find(folder: &Path) -> Result<Self> {
        let found = Command::new("wrk").arg("--version").output();
        found.context("the benchmarks send requests with wrk; install it (Debian: `apt install wrk`)")?;
        Ok(Self(folder.to_owned()))
    }

    pub fn name(&self) -> &'static str {
        "wrk, one thread"
    }

    /// The processor time of the generator so far.
    pub fn spent(&self) -> Result<Spent> {
        Spent::by_children()
    }

    /// Sends `request` over `connections` connections for `time`.
    pub fn run(&self, request: &Repeated, connections: usize, time: Duration) -> Result<Speed> {
        let script = self.0.join("request.lua");
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
        speed(&String::from_utf8_lossy(&output.stdout), &request.paths[0])
    }
}

impl Repeated {
    /// The request as a call of the crate `load`.
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

/// Parses the output of the script of [`Repeated::script`].
fn speed(text: &str, path: &str) -> Result<Speed> {
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let line = line.with_context(|| format!("wrk says what it measured: {text}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [answers, per_second, p50, p99, errors] = numbers[..] else {
        anyhow::bail!("wrk says what it measured: {line}");
    };
    ensure!(errors == 0.0, "{errors} requests of {path} failed");
    Ok(Speed {
        answers,
        per_second,
        p50,
        p99,
    })
}
