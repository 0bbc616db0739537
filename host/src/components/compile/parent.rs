//! Compiling, from the host's side: a child process of this executable, because denial of service while compiling is
//! not something that wasmtime promises to withstand.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::domain::units::{ByteSize, Span};
use crate::metrics::Gauge;

/// What stands before the compiled code on the worker's output: a mark, the length and the SHA-256 of what follows.
pub(super) const MARK: &[u8; 8] = b"mortise1";

/// Exit code of the worker for a component that is not valid.
pub(super) const INVALID: u8 = 65;

/// Exit code of the worker where it had not enough memory and could still say so.
pub(super) const NO_MEMORY: u8 = 75;

/// The allocator reserves address space ahead, a GiB by itself, which is all that a worker may have. In KiB.
const ALLOCATOR_RESERVE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "65536");

/// What the worker says about an invalid component is read no further than this.
const MAX_MESSAGE: u64 = 4 * 1024;

/// What one compilation may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompileLimits {
    /// Address space of the worker.
    pub memory: ByteSize,
    /// CPU time of the worker, rounded up to seconds.
    pub cpu: Span,
    /// Time until it is killed.
    pub wall: Span,
    /// Workers at once.
    pub workers: u32,
}

/// Why there is no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is not valid.
    #[error("{0}")]
    Invalid(String),
    /// It took more than a compilation may.
    #[error("compiling the component took more than {memory} of memory, {cpu} of CPU time or {wall}")]
    Limit {
        /// Address space of the worker.
        memory: ByteSize,
        /// CPU time of the worker.
        cpu: Span,
        /// Time until it is killed.
        wall: Span,
    },
    /// The compiled code is too large.
    #[error("the compiled component has more than {0}")]
    TooLarge(ByteSize),
    /// The worker could not be run, or said nothing that makes sense.
    #[error("the compile worker failed: {0}")]
    Worker(String),
}

/// Starts compile workers, few at a time.
pub struct Compiler {
    worker: PathBuf,
    limits: CompileLimits,
    turns: Arc<Semaphore>,
    running: Gauge,
}

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
    /// Workers are started from the executable `worker`.
    pub fn new(worker: PathBuf, limits: CompileLimits) -> Self {
        let turns = Arc::new(Semaphore::new(
            usize::try_from(limits.workers.max(1)).unwrap_or(1),
        ));
        Self {
            worker,
            limits,
            turns,
            running: Gauge::default(),
        }
    }

    /// One for components of the host itself, which the operator's limits on uploads do not concern.
    pub fn for_host(&self) -> Self {
        Self {
            worker: self.worker.clone(),
            limits: CompileLimits {
                memory: ByteSize::mib(2_048),
                cpu: Span::s(120),
                wall: Span::s(300),
                workers: 1,
            },
            turns: self.turns.clone(),
            running: self.running.clone(),
        }
    }

    /// Workers that run.
    pub fn workers(&self) -> u64 {
        self.running.get()
    }

    /// Compiles a component. A caller that goes away ends its worker.
    pub async fn compile(&self, component: &[u8], compiled_size: ByteSize) -> Result<Vec<u8>, CompileError> {
        let _turn = self.turns.acquire().await.map_err(worker_failed)?;
        let _running = self.running.hold();
        let mut child = self.start().map_err(worker_failed)?;
        match tokio::time::timeout(
            self.limits.wall.0,
            self.talk(&mut child, component, compiled_size),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Err(self.limit()),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.worker)
            .arg(super::worker::COMMAND)
            .arg(self.limits.memory.0.to_string())
            .arg(self.limits.cpu.0.as_millis().div_ceil(1_000).to_string())
            .env_clear()
            .env(ALLOCATOR_RESERVE.0, ALLOCATOR_RESERVE.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    async fn talk(
        &self,
        child: &mut Child,
        component: &[u8],
        size: ByteSize,
    ) -> Result<Vec<u8>, CompileError> {
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileError::Worker("it has no pipes".to_owned()));
        };
        let header = u64::try_from(MARK.len() + 8 + 32).unwrap_or(u64::MAX);
        let send = async move {
            // A worker that dies while it reads says more by how it exits than by the broken pipe.
            let _ = stdin.write_all(component).await;
            let _ = stdin.shutdown().await;
            Ok(())
        };
        // A worker that wrote too much waits for somebody to read on. It is not waited for: it ends with `child`.
        let receive = async move {
            let mut output = Vec::new();
            let mut stdout = stdout.take(size.0 + header + 1);
            stdout.read_to_end(&mut output).await.map_err(worker_failed)?;
            if u64::try_from(output.len()).unwrap_or(u64::MAX) > size.0 + header {
                return Err(CompileError::TooLarge(size));
            }
            Ok(output)
        };
        let listen = async move {
            let mut message = Vec::new();
            let read = (&mut stderr).take(MAX_MESSAGE).read_to_end(&mut message).await;
            read.map_err(worker_failed)?;
            // What is left goes nowhere, but the worker must be able to write it.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink())
                .await
                .map_err(worker_failed)?;
            Ok(message)
        };
        let ((), output, message) = tokio::try_join!(send, receive, listen)?;
        let status = child.wait().await.map_err(worker_failed)?;
        match status.code() {
            Some(0) => unframe(output),
            Some(code) if code == i32::from(INVALID) => Err(CompileError::Invalid(
                String::from_utf8_lossy(&message).trim().to_owned(),
            )),
            Some(code) if code == i32::from(NO_MEMORY) => Err(self.limit()),
            // Killed by a signal: the CPU limit, or an allocation beyond the address space.
            None => Err(self.limit()),
            Some(code) => Err(CompileError::Worker(format!("it ended with exit code {code}"))),
        }
    }

    fn limit(&self) -> CompileError {
        let CompileLimits {
            memory, cpu, wall, ..
        } = self.limits;
        CompileError::Limit { memory, cpu, wall }
    }
}

/// The compiled code in the worker's output. The worker has read what a customer sent, so it is not trusted to have
/// written what it should.
fn unframe(output: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let garbled = || CompileError::Worker("its output is garbled".to_owned());
    let (mark, rest) = output.split_first_chunk::<8>().ok_or_else(garbled)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(garbled)?;
    let (digest, code) = rest.split_first_chunk::<32>().ok_or_else(garbled)?;
    let complete = u64::from_le_bytes(*length) == u64::try_from(code.len()).unwrap_or(u64::MAX);
    if mark != MARK || !complete || Sha256::digest(code).as_slice() != digest {
        return Err(garbled());
    }
    Ok(code.to_vec())
}

fn worker_failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Worker(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(code: &[u8]) -> Vec<u8> {
        let length = u64::try_from(code.len()).unwrap().to_le_bytes();
        [MARK.as_slice(), &length, Sha256::digest(code).as_slice(), code].concat()
    }

    #[test]
    fn a_frame_must_be_whole() {
        let framed = frame(b"code");
        assert_eq!(unframe(framed.clone()).unwrap(), b"code");
        for cut in 0..framed.len() {
            assert!(unframe(framed[..cut].to_vec()).is_err());
        }
        let mut flipped = framed;
        *flipped.last_mut().unwrap() ^= 1;
        assert!(unframe(flipped).is_err());
    }

    #[tokio::test]
    async fn a_worker_that_writes_garbage_gives_no_code() {
        let compiler = Compiler::new("/bin/echo".into(), CompileLimits::default());
        let error = compiler
            .compile(b"component", ByteSize::mib(1))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("garbled"), "{error}");
    }

    #[tokio::test]
    async fn a_worker_that_writes_without_end_is_ended() {
        let compiler = Compiler::new("/usr/bin/yes".into(), CompileLimits::default());
        let size = ByteSize::mib(1);
        let error = compiler.compile(b"component", size).await.unwrap_err();
        assert!(
            matches!(error, CompileError::TooLarge(most) if most == size),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_worker_that_fails_is_the_hosts_fault_and_not_the_uploads() {
        let compiler = Compiler::new("/bin/false".into(), CompileLimits::default());
        let error = compiler
            .compile(b"component", ByteSize::mib(1))
            .await
            .unwrap_err();
        assert!(matches!(error, CompileError::Worker(_)), "{error}");
    }

    #[tokio::test]
    async fn a_worker_that_cannot_be_started_is_named() {
        let compiler = Compiler::new("/nowhere/mortise".into(), CompileLimits::default());
        let error = compiler
            .compile(b"component", ByteSize::mib(1))
            .await
            .unwrap_err();
        assert!(matches!(error, CompileError::Worker(_)), "{error}");
    }
}
