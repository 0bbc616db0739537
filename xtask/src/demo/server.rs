//! Runs the host as a child process of the demo.

use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::http;
use super::options::Options;
use crate::steps::{Result, now, say};

const POLL: Duration = Duration::from_millis(50);
const START: Duration = Duration::from_secs(60);

/// A running host. Dropping it stops the host.
pub struct Server {
    child: Child,
    told: Arc<AtomicBool>,
}

impl Server {
    /// Starts the host and waits until it is ready.
    pub fn start(executable: &Path, options: &Options) -> Result<Self> {
        // The demo handles Ctrl-C and signals the host once, because a host that is signalled twice
        // does not drain.
        let told = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, told.clone())
                .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
        }
        for address in [options.public, options.admin] {
            if TcpStream::connect(address).is_ok() {
                return Err(format!(
                    "something listens on {address} already; is another demo running? \
                     `--public`, `--admin`, `--erp` and `--data` choose other addresses and another folder"
                ));
            }
        }
        let child = Command::new(executable)
            .arg("serve")
            .arg("--data")
            .arg(&options.data)
            .args([
                "--public",
                &options.public.to_string(),
                "--admin",
                &options.admin.to_string(),
            ])
            // The demo's ERP listens on this machine.
            .env("MORTISE_HTTP_CLIENT__ALLOW_LOOPBACK", "true")
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", executable.display()))?;
        let mut server = Self { child, told };
        server.wait_until_ready(options)?;
        Ok(server)
    }

    /// Waits for Ctrl-C, then lets the host drain.
    pub fn stay(mut self) -> Result<()> {
        while !self.told.load(Ordering::Relaxed) {
            if let Some(status) = self.ended()? {
                return Err(format!(
                    "the host ended ({status}); its last log lines show the reason"
                ));
            }
            std::thread::sleep(POLL);
        }
        say("\nstopping: the host finishes the requests that it has begun; Ctrl-C again ends it at once\n");
        self.stop()
    }

    /// Stops the host and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        self.told.store(false, Ordering::Relaxed);
        self.tell()?;
        loop {
            if let Some(status) = self.ended()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("the host ended with {status}"))
                };
            }
            if self.told.swap(false, Ordering::Relaxed) {
                self.tell()?;
            }
            std::thread::sleep(POLL);
        }
    }

    fn wait_until_ready(&mut self, options: &Options) -> Result<()> {
        let begin = now();
        while begin.elapsed() < START {
            if let Some(status) = self.ended()? {
                return Err(format!(
                    "the host did not start ({status}); where a port is in use, choose others with --public and --admin"
                ));
            }
            let response = http::request(options.admin, "GET", "/-/readyz", None, "");
            if response.is_ok_and(|response| response.status == 200) {
                return Ok(());
            }
            if self.told.load(Ordering::Relaxed) {
                return Err("stopped while starting".to_owned());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("the host was not ready within {} s", START.as_secs()))
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .map_err(|error| format!("cannot wait for the host: {error}"))
    }

    fn tell(&mut self) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| format!("cannot stop the host: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` this does nothing. Otherwise the demo has failed, and only its error
        // matters.
        if self.tell().is_ok() {
            let _ = self.child.wait();
        }
    }
}
