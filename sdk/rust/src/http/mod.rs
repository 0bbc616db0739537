//! Outbound HTTP to the origins that the tenant granted. Redirects are not followed.
//!
//! ```
//! use std::time::Duration;
//! use mortise_sdk::prelude::*;
//!
//! fn charge(cents: i64) -> Result<String, Error> {
//!     let response = http::post("https://payments.example/charges")
//!         .secret_header("authorization", "Bearer ", "payment_key")
//!         .json(&[("amount", cents)])
//!         .timeout(Duration::from_secs(2))
//!         .retry(3, Duration::from_millis(100))
//!         .send()?
//!         .error_for_status()?;
//!     Ok(response.json()?)
//! }
//! # let _host = mortise_sdk::testing::Host::builder()
//! #     .http(|request| {
//! #         assert_eq!(request.secret_headers[0].2, "payment_key");
//! #         Ok(http::Response::new(200).with_body(r#""charge-1""#))
//! #     })
//! #     .start();
//! # assert_eq!(charge(990).unwrap(), "charge-1");
//! ```

mod request;
mod response;

use std::fmt;

pub use request::{Message, Pending, RequestBuilder};
pub use response::Response;

/// A request that did not get a usable response.
///
/// ```
/// assert_eq!(mortise_sdk::http::Error::Timeout.to_string(), "outbound request: timed out");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The origin, its resolved address or the secret is not granted, or the secret is not allowed
    /// for this origin.
    Denied(String),
    /// The request is invalid.
    InvalidRequest(String),
    /// The name does not resolve.
    Dns(String),
    /// The connection failed.
    Connect(String),
    /// The TLS handshake failed.
    Tls(String),
    /// No response in time.
    Timeout,
    /// The response is larger than the plan allows.
    TooLarge,
    /// The circuit breaker of the origin is open; nothing was sent.
    CircuitOpen,
    /// The response is not valid HTTP.
    Protocol(String),
    /// The request exceeds a limit of the plan: requests, or CPU time for responses. Or the server
    /// sent more than it may besides the body.
    Limit(String),
    /// An error that this version of the SDK does not know.
    Other(String),
    /// The response has an error status ([`Response::error_for_status`]).
    Status(u16),
    /// The response's body is not of the expected type.
    Body(String),
}

macro_rules! methods {
    ($($name:ident $method:literal)*) => {
        $(
            #[doc = concat!("Starts to build a `", $method, "` request to an absolute URL.")]
            ///
            /// ```
            #[doc = concat!("let request = mortise_sdk::http::", stringify!($name), "(\"https://api.example/items\");")]
            #[doc = concat!("assert_eq!(request.message().method, \"", $method, "\");")]
            /// ```
            pub fn $name(url: impl Into<String>) -> RequestBuilder {
                request($method, url)
            }
        )*
    };
}

methods! { get "GET" post "POST" put "PUT" patch "PATCH" delete "DELETE" head "HEAD" }

/// Starts to build a request of any method.
///
/// ```
/// assert_eq!(mortise_sdk::http::request("OPTIONS", "https://api.example/").message().method, "OPTIONS");
/// ```
pub fn request(method: &str, url: impl Into<String>) -> RequestBuilder {
    RequestBuilder::new(method, url.into())
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Denied(why) => ("not allowed: ", why.as_str()),
            Self::InvalidRequest(why) => ("invalid: ", why.as_str()),
            Self::Dns(why) => ("the name does not resolve: ", why.as_str()),
            Self::Connect(why) => ("cannot connect: ", why.as_str()),
            Self::Tls(why) => ("no secure connection: ", why.as_str()),
            Self::Protocol(why) => ("not proper HTTP: ", why.as_str()),
            Self::Limit(why) => ("a limit was reached: ", why.as_str()),
            Self::Other(why) => ("failed: ", why.as_str()),
            Self::Body(why) => ("the response's body is not what was expected: ", why.as_str()),
            Self::Timeout => ("timed out", ""),
            Self::TooLarge => ("the response is too large", ""),
            Self::CircuitOpen => ("the origin failed too often just now; nothing was sent", ""),
            Self::Status(status) => {
                return write!(formatter, "outbound request: answered with status {status}");
            }
        };
        write!(formatter, "outbound request: {what}{why}")
    }
}

impl std::error::Error for Error {}
