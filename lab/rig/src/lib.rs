//! Real hosts to attack and to measure: the executable on a data folder of its own, what is deployed on it, and numbers
//! with a bar.

pub mod clock;
pub mod gauges;
pub mod good;
pub mod guest;
pub mod host;
pub mod http;
mod measured;
pub mod process;
pub mod section;
pub mod tenant;
pub mod wasm;
pub mod wire;

pub use measured::{Bar, Measured};
