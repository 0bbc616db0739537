//! HTTP as both listeners speak it.

pub mod head;
pub mod hint;
pub mod problem;
