//! Reads and compiles uploads in a child process.

mod parent;
pub mod protocol;
pub mod worker;

pub use parent::{CompileError, CompileLimits, Compiled, Compiler, Urgency, WorkerPermit};
