//! The parts of HTTP that both listeners share: request heads, problems and hints.

pub mod head;
pub mod hint;
pub mod problem;
