//! Write Mortise plugins in Rust.
//!
//! A plugin is like a small web application: functions whose arguments are extracted from the
//! request and whose results become responses, and one [`routes!`] list that maps routes to them.
//! The host routes by the manifest (`plugin.toml`), runs every request in a sandbox, and provides
//! the capabilities [`db`], [`cache`], [`http`], [`config`], [`secrets`], [`mod@jobs`], [`steps`],
//! [`events`], [`email`], [`mod@log`] and [`context`].
//!
//! ```
//! use mortise_sdk::prelude::*;
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct Greeting {
//!     message: String,
//! }
//!
//! fn hello(Path(name): Path<String>) -> Json<Greeting> {
//!     Json(Greeting { message: format!("Hello, {name}!") })
//! }
//!
//! mortise_sdk::routes! {
//!     GET "/hello/{name}" => hello,
//! }
//!
//! // With the feature `testing`, the same code runs natively:
//! let host = mortise_sdk::testing::Host::start();
//! let response = host.request("GET", "/hello/Ada").send(&APP);
//! assert_eq!(response.text(), r#"{"message":"Hello, Ada!"}"#);
//! ```
//!
//! Besides routes a plugin can have [`functions!`]: extension points that the application calls by
//! name, with typed JSON as input and output. And it can have [`jobs!`]: background work that the
//! plugin enqueues, that a schedule of the manifest starts, or that an event causes.
//!
//! # Errors
//!
//! Handlers return any type that implements [`IntoResponse`], most often `Result<T, Error>`. `?`
//! converts any `std::error::Error` to a 500 whose cause is logged and not sent.
//! [`Error::not_found`] and similar constructors create errors that the caller reads.

#![deny(missing_docs)]

mod app;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod cache;
pub mod config;
mod content;
pub mod context;
pub mod db;
pub mod email;
mod error;
pub mod events;
pub mod extract;
mod fields;
mod function;
mod handler;
mod host;
pub mod http;
pub mod jobs;
mod json;
pub mod log;
pub mod prelude;
mod request;
mod response;
pub mod secrets;
pub mod steps;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
pub mod time;

pub use app::{App, Route};
pub use content::Content;
pub use error::Error;
pub use function::{FunctionError, FunctionHandler, Functions};
pub use handler::Handler;
pub use request::Request;
pub use response::{Body, IntoResponse, Json, Response, Status};

/// Used by the macros of this crate. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::app::{answer, bytes, unlisted_route};
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
    pub use crate::db::values;
    pub use crate::function::run;
    #[cfg(target_family = "wasm")]
    pub use crate::host::wasm::{call, run_job, serve};
    pub use crate::jobs::handler::{run as run_handler, unlisted as unlisted_job};
}
