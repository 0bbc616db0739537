//! Starts compile workers, the child processes that read and compile uploads.
//!
//! They are separate processes because wasmtime's compiler does not promise to withstand denial of
//! service, and because a process can be killed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::protocol::{Answer, COMMAND, Description, HEAD_BYTES, Head, HeadError, Job, NO_MEMORY, PANICKED};
use crate::components::refusal::Refusal;
use crate::domain::units::{ByteSize, Span};
use crate::metrics::Gauge;

/// Limits the address space that the allocator reserves, in KiB. By default it reserves 1 GiB,
/// which is all that a worker may have.
const ALLOCATOR_RESERVE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "65536");

/// The most bytes that are read from a worker's standard error.
const MAX_MESSAGE: u64 = 4 * 1024;

/// Rust's message about a stack overflow.
const STACK_OVERFLOW: &str = "has overflowed its stack";

/// The resources of one compilation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompileLimits {
    /// Address space of the worker.
    pub memory: ByteSize,
    /// CPU time of the worker, rounded up to seconds.
    pub cpu: Span,
    /// Wall-clock time until the worker is killed.
    pub wall: Span,
    /// Workers at once.
    pub workers: u32,
}

/// Why a compilation failed.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The upload is not valid.
    #[error(transparent)]
    Refused(Refusal),
    /// The compilation exceeded a limit.
    #[error(
        "reading and compiling the component took more than {memory} of memory, {cpu} of CPU time or {wall}"
    )]
    Limit {
        /// Address space of the worker.
        memory: ByteSize,
        /// CPU time of the worker.
        cpu: Span,
        /// Wall-clock time until the worker is killed.
        wall: Span,
    },
    /// The compiled code is too large.
    #[error("the compiled component has more than {0}")]
    TooLarge(ByteSize),
    /// Somebody else ended the worker: the system stops, or an operator did it.
    #[error("the compile worker was stopped before it had finished")]
    Stopped,
    /// The worker did not run, or its output is not valid.
    #[error("the compile worker failed: {0}")]
    Worker(String),
}

/// The result of a worker.
#[derive(Debug)]
pub struct Compiled {
    /// What the worker found in the component.
    pub description: Description,
    /// The compiled code; empty if none was requested.
    pub code: Vec<u8>,
}

/// Starts a limited number of compile workers.
pub struct Compiler {
    worker: PathBuf,
    limits: CompileLimits,
    permits: Arc<Semaphore>,
    /// Callers with [`Urgency::Awaited`] that wait for a permit.
    awaited: Gauge,
    running: Gauge,
}

/// The priority of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// An upload, an activation or a request waits. Callers are served in order.
    Awaited,
    /// Nobody waits. All other callers are served first.
    Background,
}

/// A permit to run one worker.
#[must_use]
pub struct WorkerPermit(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(1_024),
            cpu: Span::s(30),
            wall: Span::s(45),
            workers: 1,
        }
    }
}

impl Compiler {
    /// Creates a compiler that starts workers from the executable `worker`.
    pub fn new(worker: PathBuf, limits: CompileLimits) -> Self {
        let permits = Arc::new(Semaphore::new(
            usize::try_from(limits.workers.max(1)).unwrap_or(1),
        ));
        Self {
            worker,
            limits,
            permits,
            awaited: Gauge::default(),
            running: Gauge::default(),
        }
    }

    /// A compiler for components of the host itself, to which the operator's limits do not apply.
    pub fn for_host(&self) -> Self {
        Self {
            worker: self.worker.clone(),
            limits: CompileLimits {
                memory: ByteSize::mib(2_048),
                cpu: Span::s(120),
                wall: Span::s(300),
                workers: 1,
            },
            permits: self.permits.clone(),
            awaited: self.awaited.clone(),
            running: self.running.clone(),
        }
    }

    /// The number of running workers.
    pub fn workers(&self) -> u64 {
        self.running.get()
    }

    /// Waits for a permit to run a worker.
    pub async fn permit(&self, urgency: Urgency) -> Result<WorkerPermit, CompileError> {
        let next = || async {
            let permit = self.permits.clone().acquire_owned().await;
            permit.map(WorkerPermit).map_err(worker_failed)
        };
        if urgency == Urgency::Awaited {
            let _awaited = self.awaited.hold();
            return next().await;
        }
        loop {
            let permit = next().await?;
            if self.awaited.get() == 0 {
                return Ok(permit);
            }
            // Awaited callers came later and queue behind this caller. The next round queues behind
            // them.
            drop(permit);
            tokio::task::yield_now().await;
        }
    }

    /// Runs `job` on a component in a worker. The worker returns at most `size` bytes of code. If
    /// the caller is dropped, its worker is killed.
    pub async fn run(
        &self,
        _permit: WorkerPermit,
        job: &Job,
        component: &[u8],
        size: ByteSize,
    ) -> Result<Compiled, CompileError> {
        let job = job.to_bytes().map_err(worker_failed)?;
        let _running = self.running.hold();
        let mut child = self.start().map_err(worker_failed)?;
        let talk = self.talk(&mut child, &job, component, size);
        match tokio::time::timeout(self.limits.wall.0, talk).await {
            Ok(result) => result,
            Err(_) => Err(self.limit()),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.worker)
            .arg(COMMAND)
            .arg(self.limits.memory.0.to_string())
            .arg(self.limits.cpu.0.as_millis().div_ceil(1_000).to_string())
            .env_clear()
            .env(ALLOCATOR_RESERVE.0, ALLOCATOR_RESERVE.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C in the host's terminal is for the host, which lets its workers finish.
            .process_group(0)
            .spawn()
    }

    async fn talk(
        &self,
        child: &mut Child,
        job: &[u8],
        component: &[u8],
        size: ByteSize,
    ) -> Result<Compiled, CompileError> {
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileError::Worker("it has no pipes".to_owned()));
        };
        let send = async move {
            // If the worker dies while it reads, its exit status says more than the broken pipe.
            let _ = stdin.write_all(job).await;
            let _ = stdin.write_all(component).await;
            let _ = stdin.shutdown().await;
            Ok(())
        };
        let listen = async move {
            let mut message = Vec::new();
            let read = (&mut stderr).take(MAX_MESSAGE).read_to_end(&mut message).await;
            read.map_err(worker_failed)?;
            // The rest is read and discarded, so that the worker does not block.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink())
                .await
                .map_err(worker_failed)?;
            Ok(String::from_utf8_lossy(&message).trim().to_owned())
        };
        // A worker that writes too much is killed when `child` is dropped.
        let ((), answer, message) = tokio::try_join!(send, receive(stdout, size), listen)?;
        let status = child.wait().await.map_err(worker_failed)?;
        self.check_exit(status, &message)?;
        let (answer, code) = answer.ok_or_else(garbled)?;
        match answer {
            Answer::Accepted(description) => Ok(Compiled {
                description: *description,
                code,
            }),
            Answer::Refused(refusal) => Err(CompileError::Refused(refusal)),
        }
    }

    /// Interprets the exit status. A panic, a stack overflow, a signal of the system and a lack of
    /// memory are the upload's fault. A request to end and any other exit code are not.
    fn check_exit(&self, status: ExitStatus, message: &str) -> Result<(), CompileError> {
        let is = |code: u8| status.code() == Some(i32::from(code));
        if status.success() {
            Ok(())
        } else if is(NO_MEMORY) {
            Err(self.limit())
        } else if is(PANICKED) {
            // The panic's location names files of the build machine, so only the operator sees it.
            tracing::warn!(%message, "a compile worker panicked; the upload is refused");
            let said = message
                .lines()
                .find(|line| !line.contains("panicked at") && !line.starts_with("note:"));
            Err(CompileError::Refused(Refusal::component(
                format!(
                    "reading or compiling this component makes the host's compile worker fail: {}",
                    said.unwrap_or("no details")
                ),
                "build the plugin with other versions of its tools, and report it with the file",
            )))
        } else if status.code().is_none() && message.contains(STACK_OVERFLOW) {
            Err(CompileError::Refused(Refusal::manifest(
                "the bundle in the component is nested too deeply: reading it overflowed the stack",
                "write the schemas and types with fewer levels and shorter chains of references",
            )))
        } else if status.signal().is_some_and(is_request_to_end) {
            Err(CompileError::Stopped)
        } else if status.code().is_none() {
            // Killed by a signal: the CPU limit, or an allocation beyond the address space.
            Err(self.limit())
        } else {
            Err(CompileError::Worker(format!("it ended with {status}: {message}")))
        }
    }

    fn limit(&self) -> CompileError {
        let CompileLimits {
            memory, cpu, wall, ..
        } = self.limits;
        CompileError::Limit { memory, cpu, wall }
    }
}

/// Whether a signal asks a process to end. The limits of a worker never send one of these.
fn is_request_to_end(signal: i32) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT]
        .iter()
        .any(|request| request.as_raw() == signal)
}

/// Reads the worker's frame: nothing if it ended before it had written all of it.
async fn receive(mut stdout: ChildStdout, size: ByteSize) -> Result<Option<(Answer, Vec<u8>)>, CompileError> {
    let mut head = [0; HEAD_BYTES];
    if !is_whole(stdout.read_exact(&mut head).await)? {
        return Ok(None);
    }
    let head = Head::parse(&head, size.0).map_err(|error| match error {
        HeadError::Garbled => garbled(),
        HeadError::TooLarge => CompileError::TooLarge(size),
    })?;
    let mut answer = vec![0; head.answer];
    let mut code = vec![0; head.code];
    for part in [&mut answer, &mut code] {
        if !is_whole(stdout.read_exact(part).await)? {
            return Ok(None);
        }
    }
    if stdout.read(&mut [0]).await.map_err(worker_failed)? > 0 {
        return Err(garbled());
    }
    let answer = head.open(&answer, &code).ok_or_else(garbled)?;
    Ok(Some((answer, code)))
}

fn is_whole(read: std::io::Result<usize>) -> Result<bool, CompileError> {
    match read {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(worker_failed(error)),
    }
}

fn garbled() -> CompileError {
    CompileError::Worker("its output is garbled".to_owned())
}

fn worker_failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Worker(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(worker: &str) -> CompileError {
        let job = Job {
            upload: None,
            compile: true,
            shield: Default::default(),
        };
        let compiler = Compiler::new(worker.into(), CompileLimits::default());
        let permit = compiler.permit(Urgency::Awaited).await.unwrap();
        let result = compiler.run(permit, &job, b"component", ByteSize::mib(1)).await;
        result.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_awaited_goes_before_what_is_not() {
        let compiler = Compiler::new("/bin/false".into(), CompileLimits::default());
        let running = compiler.permit(Urgency::Background).await.unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let wait = async |name, urgency| {
            let _permit = compiler.permit(urgency).await.unwrap();
            order.borrow_mut().push(name);
            tokio::task::yield_now().await;
        };
        tokio::join!(
            wait("background", Urgency::Background),
            wait("upload", Urgency::Awaited),
            wait("request", Urgency::Awaited),
            async { drop(running) },
        );
        assert_eq!(order.into_inner(), ["upload", "request", "background"]);
        assert_eq!(compiler.awaited.get(), 0);
    }

    #[tokio::test]
    async fn a_worker_that_writes_garbage_gives_no_code() {
        for worker in ["/bin/echo", "/usr/bin/yes"] {
            let error = run(worker).await;
            assert!(error.to_string().contains("garbled"), "{worker}: {error}");
        }
    }

    #[tokio::test]
    async fn a_worker_that_cannot_work_is_the_hosts_fault() {
        for worker in ["/nowhere/mortise", "/bin/false"] {
            let error = run(worker).await;
            assert!(matches!(error, CompileError::Worker(_)), "{worker}: {error}");
        }
    }

    fn ended(status: i32, message: &str) -> Result<(), CompileError> {
        let compiler = Compiler::new("/bin/false".into(), CompileLimits::default());
        compiler.check_exit(ExitStatus::from_raw(status), message)
    }

    #[test]
    fn a_worker_that_an_upload_ends_is_the_uploads_fault() {
        assert!(ended(0, "").is_ok());
        let panicked = ended(
            101 << 8,
            "thread 'reading' panicked at /build/adapt.rs:7:1:\ntwo memories\nnote: run with",
        )
        .unwrap_err();
        assert!(
            matches!(&panicked, CompileError::Refused(refusal) if refusal.message.ends_with(": two memories")),
            "{panicked}"
        );
        // SIGABRT.
        let overflow = ended(6, "thread 'reading' has overflowed its stack").unwrap_err();
        assert!(
            matches!(&overflow, CompileError::Refused(refusal) if refusal.message.contains("nested too deeply")),
            "{overflow}"
        );
        // Out of memory as an exit code; then SIGABRT, SIGKILL, SIGSEGV, SIGXCPU.
        for status in [i32::from(NO_MEMORY) << 8, 6, 9, 11, 24] {
            let error = ended(status, "memory allocation of 9 bytes failed").unwrap_err();
            assert!(matches!(error, CompileError::Limit { .. }), "{status}: {error}");
        }
        // SIGHUP, SIGINT, SIGQUIT, SIGTERM.
        for status in [1, 2, 3, 15] {
            let error = ended(status, "").unwrap_err();
            assert!(matches!(error, CompileError::Stopped), "{status}: {error}");
        }
        let host = ended(1 << 8, "the engine does not start").unwrap_err();
        assert!(matches!(host, CompileError::Worker(_)), "{host}");
    }
}
