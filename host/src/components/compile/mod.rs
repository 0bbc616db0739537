//! Compiling, in a child process.

mod parent;
pub mod worker;

pub use parent::{CompileError, CompileLimits, Compiler};
