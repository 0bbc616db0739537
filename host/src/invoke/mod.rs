//! An invocation, whatever set it off.

pub mod deadline;
