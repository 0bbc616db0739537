//! The compile worker: limits its own resources, then reads, checks and compiles a component.

use std::io::Read as _;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::protocol::{Answer, Job, NO_MEMORY, PANICKED};
use crate::components::accept;
use crate::components::refusal::Refusal;

pub use super::protocol::COMMAND;

/// The most open files of a worker: its pipes, and a few for the loader.
const MAX_FILES: u64 = 16;

/// Stack of the thread that reads the upload. It has the same size on every system, so that the
/// same uploads overflow it.
const READING_STACK: usize = 1 << 20;

/// Creates the engine for compiling.
type MakeEngine = fn() -> wasmtime::Result<Engine>;

/// Creates a linker with everything that a plugin may import.
type MakeLinker<T> = fn(&Engine) -> wasmtime::Result<Linker<T>>;

/// Runs the worker. `memory` is its address space in bytes and `cpu` its CPU time in seconds, as
/// decimal text. The engine is created after the worker has limited itself.
#[expect(clippy::print_stderr, reason = "the parent reads the message there")]
pub fn run<T: 'static>(memory: &str, cpu: &str, engine: MakeEngine, linker: MakeLinker<T>) -> ExitCode {
    match work(memory, cpu, engine, linker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(WorkerError::Panicked) => ExitCode::from(PANICKED),
        Err(WorkerError::Failed(error)) if error.chain().any(is_about_memory) => ExitCode::from(NO_MEMORY),
        Err(WorkerError::Engine(error)) if error.chain().any(is_about_memory) => ExitCode::from(NO_MEMORY),
        Err(WorkerError::Engine(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        Err(WorkerError::Failed(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

enum WorkerError {
    /// Rust has written the panic to standard error.
    Panicked,
    Engine(wasmtime::Error),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for WorkerError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn work<T: 'static>(
    memory: &str,
    cpu: &str,
    engine: MakeEngine,
    linker: MakeLinker<T>,
) -> Result<(), WorkerError> {
    confine(memory.parse()?, cpu.parse()?)?;
    let mut input = std::io::stdin().lock();
    let job = Job::read(&mut input)?;
    let mut component = Vec::new();
    input.read_to_end(&mut component)?;
    let engine = engine().map_err(WorkerError::Engine)?;
    let linker = linker(&engine).map_err(WorkerError::Engine)?;
    let (answer, code) = answer(&job, &component, &engine, &linker)?;
    answer.write(&code, &mut std::io::stdout().lock())?;
    Ok(())
}

fn answer<T: 'static>(
    job: &Job,
    component: &[u8],
    engine: &Engine,
    linker: &Linker<T>,
) -> Result<(Answer, Vec<u8>), WorkerError> {
    let read = || match &job.upload {
        Some(plugin) => accept::upload(component, plugin, &job.shield, linker),
        None if job.compile => accept::stored(component),
        None => accept::inspect(component),
    };
    let description = thread::scope(|scope| {
        let reading = thread::Builder::new()
            .name("reading".to_owned())
            .stack_size(READING_STACK)
            .spawn_scoped(scope, read)?;
        reading.join().map_err(|_| WorkerError::Panicked)
    })?;
    let description = match description {
        Ok(description) => description,
        Err(refusal) => return Ok((Answer::Refused(refusal), Vec::new())),
    };
    if !job.compile {
        return Ok((Answer::Accepted(Box::new(description)), Vec::new()));
    }
    match accept::compile(engine, component, linker) {
        Ok(Ok(code)) => Ok((Answer::Accepted(Box::new(description)), code)),
        Ok(Err(refusal)) => Ok((Answer::Refused(refusal), Vec::new())),
        Err(error) if error.chain().any(is_about_memory) => Err(WorkerError::Engine(error)),
        Err(error) => Ok((Answer::Refused(does_not_compile(&error)), Vec::new())),
    }
}

fn does_not_compile(error: &wasmtime::Error) -> Refusal {
    Refusal::component(
        format!("the component does not compile: {error:#}"),
        "build the plugin optimised and with current tools; docs/limits.md lists what a component may have",
    )
}

/// Whether an error reports a lack of memory. Most failed allocations abort the process; failed
/// mappings of large regions are reported.
fn is_about_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
        || error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            // `EAGAIN`: a thread cannot be started without memory.
            matches!(
                error.kind(),
                std::io::ErrorKind::OutOfMemory | std::io::ErrorKind::WouldBlock
            ) || error.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error())
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
    // The worker ends with its host.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    set(Resource::As, memory)?;
    set(Resource::Cpu, cpu)?;
    set(Resource::Nofile, MAX_FILES)?;
    set(Resource::Core, 0)?;
    // Requests have priority over compiling.
    rustix::process::nice(19).map(|_| ())
}
