//! HTTP as both listeners speak it.

pub mod problem;
