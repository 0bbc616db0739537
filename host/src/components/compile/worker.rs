//! The compile worker: reads a component, writes compiled code, under limits that it sets on itself before it reads.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use sha2::{Digest as _, Sha256};

use super::parent::{INVALID, MARK, NO_MEMORY};
use crate::sandbox::engine;

/// The hidden command of the executable that starts a worker.
pub const COMMAND: &str = "compile-worker";

/// Files that a worker may have open: its pipes, and a few for the loader.
const MAX_FILES: u64 = 16;

/// Runs the worker. `memory` is its address space in bytes and `cpu` its CPU time in seconds, as decimal text.
#[expect(clippy::print_stderr, reason = "the parent reads the message there")]
pub fn run(memory: &str, cpu: &str) -> ExitCode {
    match compile(memory, cpu) {
        Ok(()) => ExitCode::SUCCESS,
        Err(WorkerError::Invalid(error) | WorkerError::Engine(error))
            if error.chain().any(is_about_memory) =>
        {
            ExitCode::from(NO_MEMORY)
        }
        Err(WorkerError::Engine(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        Err(WorkerError::Failed(error)) if error.chain().any(is_about_memory) => ExitCode::from(NO_MEMORY),
        Err(WorkerError::Invalid(error)) => {
            eprintln!("{error:#}");
            ExitCode::from(INVALID)
        }
        Err(WorkerError::Failed(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

enum WorkerError {
    Invalid(wasmtime::Error),
    Engine(wasmtime::Error),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for WorkerError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn compile(memory: &str, cpu: &str) -> Result<(), WorkerError> {
    confine(memory.parse()?, cpu.parse()?)?;
    let engine = engine::compiling().map_err(WorkerError::Engine)?;
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component)?;
    let code = engine
        .precompile_component(&component)
        .map_err(WorkerError::Invalid)?;

    let mut stdout = std::io::stdout().lock();
    stdout.write_all(MARK)?;
    stdout.write_all(&u64::try_from(code.len())?.to_le_bytes())?;
    stdout.write_all(&Sha256::digest(&code))?;
    stdout.write_all(&code)?;
    stdout.flush()?;
    Ok(())
}

/// Whether an error says that there was not enough memory. Most allocations that fail end the process instead; the
/// large ones, of memory that is mapped, are reported.
fn is_about_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
        || error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            error.kind() == std::io::ErrorKind::OutOfMemory
                || error.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error())
        })
}

fn confine(memory: u64, cpu: u64) -> rustix::io::Result<()> {
    let set = |resource, limit| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            },
        )
    };
    // A worker whose host is gone works for nobody.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    set(Resource::As, memory)?;
    set(Resource::Cpu, cpu)?;
    set(Resource::Nofile, MAX_FILES)?;
    set(Resource::Core, 0)?;
    // Compiling is never urgent: requests go first.
    rustix::process::nice(19).map(|_| ())
}
