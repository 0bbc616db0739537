//! Writes log lines, which the host stores with the invocation and shows to the tenant.
//!
//! With the feature `log` (on by default) the macros of the `log` crate write here too. A line of
//! another crate has a field `target`, which names the module. The host counts and drops lines
//! beyond the invocation's budget.
//!
//! ```
//! let host = mortise_sdk::testing::Host::start();
//! mortise_sdk::log::info("order placed", &[("order_id", &7)]);
//! assert_eq!(host.logs()[0].message, "order placed");
//! ```

#[cfg(all(feature = "log", any(feature = "testing", target_family = "wasm")))]
mod macros;

use std::fmt::Display;

use crate::host::{Backend, Host};

/// The level of a log line.
///
/// ```
/// use mortise_sdk::log::Level;
///
/// assert!(Level::Error > Level::Info);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Very detailed tracing.
    Trace,
    /// Information for debugging.
    Debug,
    /// Normal events.
    Info,
    /// Unexpected events.
    Warn,
    /// Failures.
    Error,
}

/// Writes a line at any level. Put values to search for into fields: ids, counts, amounts; never
/// secrets.
///
/// ```
/// # let host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::log::{self, Level};
///
/// log::write(Level::Warn, "stock is low", &[("product_id", &"p1"), ("left", &2)]);
/// assert_eq!(host.logs()[0].fields[1], ("left".to_owned(), "2".to_owned()));
/// ```
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_string()))
        .collect();
    Host::log(level, message, &fields);
}

macro_rules! level_functions {
    ($($name:ident $level:ident $article:literal),*) => {
        $(
            #[doc = concat!("Writes ", $article, " line.")]
            ///
            /// ```
            /// # let host = mortise_sdk::testing::Host::start();
            #[doc = concat!("mortise_sdk::log::", stringify!($name), "(\"order paid\", &[(\"order_id\", &7)]);")]
            #[doc = concat!("assert_eq!(host.logs()[0].level, mortise_sdk::log::Level::", stringify!($level), ");")]
            /// ```
            pub fn $name(message: &str, fields: &[(&str, &dyn Display)]) {
                write(Level::$level, message, fields);
            }
        )*
    };
}

level_functions!(
    trace Trace "a trace",
    debug Debug "a debug",
    info Info "an info",
    warn Warn "a warning",
    error Error "an error"
);

/// Sends output of the `log` crate's macros to the host. It runs before the first handler. Lines of
/// the crate `own` have no field `target`.
#[cfg(any(feature = "testing", target_family = "wasm"))]
pub(crate) fn install(own: &'static str) {
    #[cfg(feature = "log")]
    macros::install(own);
    #[cfg(not(feature = "log"))]
    let _ = own;
}
