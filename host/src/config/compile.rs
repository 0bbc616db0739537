//! `[compile]`: the resources of one compilation.

use crate::components::compile::CompileLimits;

/// The resources of one compilation.
pub type CompileSection = CompileLimits;
