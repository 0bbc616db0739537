//! Runs the real executable with its own data folder, on ports of the system's choice.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock::until;
use crate::http::Http;
use crate::tenant::Tenant;

/// A running host. It ends when this is dropped.
pub struct Host {
    child: Child,
    /// The address of the public listener.
    pub public: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    data: Arc<TempDir>,
    log: Arc<Mutex<Vec<String>>>,
}

/// The result of a start.
pub enum Started {
    /// The host is ready.
    Ready(Host),
    /// The host ended before it was ready.
    Ended(Ended),
}

/// A host that has ended by itself.
pub struct Ended {
    /// Its data folder.
    pub data: Arc<TempDir>,
    /// Its log.
    pub log: String,
    /// How it ended.
    pub status: ExitStatus,
}

/// The launch of a host.
#[derive(Clone, Debug)]
pub struct Launch {
    executable: PathBuf,
    variables: Vec<(String, String)>,
}

impl Launch {
    /// A launch with the defaults and a JSON log.
    pub fn new(executable: &Path) -> Self {
        Self {
            executable: executable.to_owned(),
            variables: vec![("MORTISE_LOG__FORMAT".to_owned(), "json".to_owned())],
        }
    }

    /// Sets a key of the configuration, such as `limits.cpu`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let variable = format!("MORTISE_{}", key.replace('.', "__").to_uppercase());
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// Sets an environment variable that is not a configuration key.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses another file of the same executable.
    pub fn executable(mut self, executable: &Path) -> Self {
        self.executable = executable.to_owned();
        self
    }

    /// Starts a host with a new data folder.
    pub fn start(&self) -> Result<Host> {
        self.start_on(Arc::new(TempDir::with_prefix("mortise-rig-")?))
    }

    /// Starts a host with the data folder of an earlier one.
    pub fn start_on(&self, data: Arc<TempDir>) -> Result<Host> {
        match self.try_on(data)? {
            Started::Ready(host) => Ok(host),
            Started::Ended(ended) => bail!("the host ended with {}: {}", ended.status, ended.log),
        }
    }

    /// Starts a host with the data folder of an earlier one. It may end before it is ready.
    pub fn try_on(&self, data: Arc<TempDir>) -> Result<Started> {
        let mut command = Command::new(&self.executable);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MORTISE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args([
                "serve",
                "--public",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().context("the host's log is piped")?;
        let written = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let ready = until("the start of the host", || {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Err(status)));
            }
            let lines = log.lock().unwrap_or_else(PoisonError::into_inner);
            let mut entries = lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            Ok(entries
                .find(|entry| entry["fields"]["message"] == "the host is ready")
                .map(Ok))
        })?;
        let ready = match ready {
            Ok(ready) => ready,
            Err(status) => {
                // The log is whole once its reader ends. If the reader panicked, it ends there.
                let _ = reader.join();
                let log = log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
                return Ok(Started::Ended(Ended { data, log, status }));
            }
        };
        let address = |name: &str| -> Result<SocketAddr> {
            Ok(ready["fields"][name].as_str().unwrap_or_default().parse()?)
        };
        Ok(Started::Ready(Host {
            public: address("public")?,
            admin: address("admin")?,
            child,
            data,
            log,
        }))
    }
}

impl Host {
    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The lines of its log after the first `seen` ones.
    pub fn log_from(&self, seen: usize) -> Vec<String> {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(seen..).unwrap_or_default().to_vec()
    }

    /// Whether its process has ended by itself.
    pub fn has_ended(&self) -> bool {
        crate::process::has_ended(self.id())
    }

    /// A client of the public listener.
    pub fn http(&self) -> Http {
        Http::new(self.public)
    }

    /// A client of the admin API with the operator's token.
    pub fn admin(&self) -> Http {
        let token = std::fs::read_to_string(self.data().join("operator.token")).unwrap_or_default();
        Http::new(self.admin).bearer(&token)
    }

    /// Creates a tenant, which is deleted when it is dropped.
    pub fn tenant(&self, name: &str) -> Result<Tenant> {
        Tenant::create(self, name)
    }

    /// An existing tenant.
    pub fn known(&self, name: &str) -> Tenant {
        Tenant::known(self, name)
    }

    /// An existing tenant, with these clients.
    pub fn known_to(&self, admin: Http, http: Http, name: &str) -> Tenant {
        Tenant::known_to(self, admin, http, name)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        until("the end of the host", || Ok(child.try_wait()?))
    }

    /// Stops it with SIGTERM, and returns its data folder.
    pub fn stop(self) -> Result<Arc<TempDir>> {
        self.signal(Signal::TERM)?;
        self.stopped()
    }

    /// Waits for its end after a signal, and returns its data folder.
    pub fn stopped(mut self) -> Result<Arc<TempDir>> {
        let status = self.wait()?;
        ensure!(status.success(), "the host ended with {status}: {}", self.log());
        Ok(self.data.clone())
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> Result<Ended> {
        let status = self.wait()?;
        Ok(Ended {
            data: self.data.clone(),
            log: self.log(),
            status,
        })
    }

    /// Kills it with SIGKILL, and returns its data folder.
    pub fn kill(mut self) -> Result<Arc<TempDir>> {
        self.child.kill()?;
        self.wait()?;
        Ok(self.data.clone())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
