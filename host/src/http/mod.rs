//! HTTP as both listeners speak it.

pub mod hint;
pub mod problem;
