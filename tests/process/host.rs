//! Runs a host as a process, which ends with the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use super::http::Http;

/// The default deadline, which is long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// A running host.
pub struct HostProcess {
    child: Process,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    data: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

/// A child process that does not outlive the test.
pub struct Process(Child);

/// The result of a command.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl HostProcess {
    /// Starts a host on a data folder, which may exist already.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts a host with configuration variables.
    #[track_caller]
    pub fn start_with(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_command(serve(data).envs(variables.iter().copied()))
    }

    /// Starts a host with a command of [`serve`].
    #[track_caller]
    pub fn start_command(command: &mut Command) -> Self {
        let arguments: Vec<_> = command.get_args().collect();
        let data = arguments
            .iter()
            .position(|argument| *argument == "--data")
            .unwrap();
        let data = PathBuf::from(arguments[data + 1]);
        let mut child = Process::spawn(command);
        let stderr = child.0.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        let ready = until(|| {
            let lines = log.lock().unwrap().clone();
            if let Some(status) = child.0.try_wait().unwrap() {
                panic!("the host ended with {status}: {lines:#?}");
            }
            let mut entries = lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            entries.find(|entry| entry["fields"]["message"] == "the host is ready")
        });
        let address = |name: &str| ready["fields"][name].as_str().unwrap().parse().unwrap();
        Self {
            public: address("public"),
            admin: address("admin"),
            child,
            data,
            log,
        }
    }

    /// The host's log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The host's peak memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes << 10
    }

    /// A client of the public listener.
    pub fn http(&self) -> Http {
        Http::new(self.public)
    }

    /// A client of the admin API with the operator's token.
    pub fn operator(&self) -> Http {
        let token = std::fs::read_to_string(self.token_file()).unwrap();
        Http::new(self.admin).bearer(&token)
    }

    /// The file of the operator's token.
    pub fn token_file(&self) -> PathBuf {
        self.data.join("operator.token")
    }

    /// A command of the command line with the operator's token.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mortise(arguments);
        command
            .arg("--host")
            .arg(format!("http://{}", self.admin))
            .arg("--token-file")
            .arg(self.token_file());
        command
    }

    /// Runs a command as the operator.
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments), "")
    }

    /// Runs a command as the operator, with something on standard input.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        finish(&mut self.command(arguments), input)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.child.terminate();
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait()
    }

    /// Stops the host with SIGTERM, and waits for its end.
    #[track_caller]
    pub fn stop(self) {
        self.terminate();
        let log = self.log.clone();
        let status = self.wait();
        assert!(status.success(), "{status}: {:#?}", log.lock().unwrap());
    }

    /// Kills the host, like a power failure.
    pub fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.wait();
    }
}

impl Process {
    /// Starts it with piped output.
    pub fn spawn(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Its standard output, which can be read while it runs.
    pub fn stdout(&mut self) -> impl std::io::BufRead + use<> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    /// Its standard error, which can be read while it runs.
    pub fn news(&mut self) -> impl std::io::BufRead + use<> {
        BufReader::new(self.0.stderr.take().unwrap())
    }

    /// Its standard error. It must have ended.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until(|| self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Finished {
    /// Checks for success, and returns the standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Checks for success, and returns the standard output as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Checks the exit code, and returns the standard error.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// `mortise serve` on ports of the system's choice, with a JSON log.
pub fn serve(data: &Path) -> Command {
    let mut command = mortise(&["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--data").arg(data).envs([
        ("MORTISE_LOG__FORMAT", "json"),
        ("MORTISE_RUNTIME__INSTANCES", "16"),
        // Unoptimized builds are slower than the default budget allows.
        ("MORTISE_CEILING__CPU", "10s"),
        ("MORTISE_LIMITS__CPU", "10s"),
        ("MORTISE_LIMITS__WALL", "30s"),
        // On a fast machine, callers in a loop exceed the default rate.
        ("MORTISE_LIMITS__REQUESTS_PER_SECOND", "1000000"),
        ("MORTISE_LIMITS__REQUEST_BURST", "1000000"),
    ]);
    command
}

/// The executable under test, without configuration from the environment.
pub fn mortise(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mortise"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MORTISE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Runs a command to its end.
pub fn finish(command: &mut Command, input: &str) -> Finished {
    let mut process = Process::spawn(command);
    let mut stdin = process.0.stdin.take().unwrap();
    // A command that reads no input may have ended before this.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let mut stdout = process.stdout();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let stderr = process.stderr();
    Finished {
        stdout: reader.join().unwrap().unwrap(),
        stderr,
        status: process.wait(),
    }
}

/// Polls `ask` until it returns a value.
#[track_caller]
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        std::thread::sleep(POLL);
    }
}
