//! The test rig of the lab: it runs real hosts, deploys plugins on them, and reports measurements
//! with bars.

pub mod clock;
pub mod gauges;
pub mod good;
pub mod guest;
pub mod host;
pub mod http;
mod measured;
pub mod process;
pub mod receiver;
pub mod section;
pub mod signature;
#[path = "../../../tests/shared/smtp.rs"]
pub mod smtp;
pub mod tenant;
pub mod wasm;
pub mod wire;

pub use measured::{Bar, Measured};
