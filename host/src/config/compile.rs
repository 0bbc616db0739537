//! `[compile]`: what the compilation of one upload may take.

use crate::components::compile::CompileLimits;

/// What one compilation may take.
pub type CompileSection = CompileLimits;
