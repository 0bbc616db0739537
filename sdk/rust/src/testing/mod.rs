//! A test host, with which handlers run natively under `cargo test`.
//!
//! Enable the feature `testing` under `[dev-dependencies]` and start a [`Host`]. Then call handlers
//! directly, send requests to the plugin's `APP`, call its `FUNCTIONS`, or run its `JOBS`. The host
//! belongs to the thread that started it, until it is dropped.
//!
//! # What is simulated
//!
//! | capability | in tests |
//! | --- | --- |
//! | database | SQLite in a temporary file, with the plugin's migrations, and the host's own refusals, typed errors and limits of a statement |
//! | cache | a map with the test host's [clock](Host::advance) |
//! | outbound HTTP | a [function](HostBuilder::http) of the request, behind the manifest's allowed origins |
//! | config, secrets, principal | the values given to the [builder](HostBuilder) |
//! | log | kept for [`Host::logs`] |
//! | jobs | kept in memory until [`Host::run_jobs`] runs those that are due, one at a time; back-off, attempts, priorities and keys as on the host |
//! | schedules | fall due when the [clock](Host::advance) is moved |
//! | mail | kept for [`Host::mail`]; templates are rendered as on the host, and addresses, headers and senders are checked; a repeated idempotency key adds nothing for 24 h of the test host's clock |
//! | webhooks | [signed](Host::webhook) as their senders do, checked as the host does, and kept as jobs |
//! | events | kept for [`Host::events`]; the plugin's own subscriptions get jobs; [`Host::publish`] publishes as another plugin |
//!
//! With the plugin's manifest ([`HostBuilder::plugin`]) a request is checked as on the host:
//! credentials, scopes, the JSON Schemas of bodies (with the host's own validator), allowed
//! origins, secrets and the counted limits. These are `host_calls`, `sql_statements`,
//! `http_requests`, `jobs_enqueued`, `request_body`, `response_body`, `cache_value`, `job_payload`,
//! `steps`, `step_bytes`, `mail_recipients`, `mail_size` and `mail_attachments`, with the values of
//! the standard plan, lowered by `[limits]`. The first four apply within a request that is
//! [sent](RequestBuilder::send) and within a job, not to calls that a test makes itself.
//!
//! It does not check limits of time and memory, the rows of a result, or rate limits.
//!
//! ```
//! use mortise_sdk::prelude::*;
//! use mortise_sdk::testing::Host;
//!
//! fn count() -> Result<Json<i64>, Error> {
//!     Ok(Json(cache::increment("visits", 1, None)?))
//! }
//!
//! mortise_sdk::routes! { POST "/visits" => count }
//!
//! let host = Host::start();
//! assert_eq!(count().unwrap().0, 1);
//! assert_eq!(host.request("POST", "/visits").send(&APP).json::<i64>(), 2);
//! ```

mod backend;
mod budget;
mod builder;
mod cache;
mod database;
mod jobs;
mod mail;
mod manifest;
mod problems;
mod request;
mod routing;
mod schemas;
mod state;
mod webhook;

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

pub use builder::HostBuilder;
pub use jobs::{Attempt, Outcome, PublishedEvent, StoredJob};
pub use mail::SentMail;
use request::FUNCTIONS_PATH;
pub use request::RequestBuilder;
pub use webhook::WebhookBuilder;

pub(crate) use backend::TestHost;
use state::State;

use crate::context::Principal;
use crate::log::Level;

/// A test host, installed on this thread until it is dropped.
///
/// ```
/// use mortise_sdk::{config, testing::Host};
///
/// let _host = Host::builder().config("colour", "green").start();
/// assert_eq!(config::get("colour").as_deref(), Some("green"));
/// ```
#[must_use = "the test host ends as soon as it is dropped"]
pub struct Host {
    state: Rc<State>,
    // The state is thread-local, so the guard must not leave the thread.
    thread: PhantomData<*const ()>,
}

/// A log line of the plugin.
///
/// ```
/// let host = mortise_sdk::testing::Host::start();
/// mortise_sdk::log::debug("looked it up", &[("hits", &3)]);
/// assert_eq!(host.logs()[0].fields, [("hits".to_owned(), "3".to_owned())]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

impl Host {
    /// Starts a host with defaults: an empty database and cache, no settings, no secrets, no
    /// principal.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::start();
    /// ```
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Creates a builder.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().secret("payment", "s3cret").start();
    /// ```
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    /// Creates a request. The path may have a query string.
    ///
    /// ```
    /// mortise_sdk::routes! { GET "/ping" => || "pong" }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/ping?loud=1").send(&APP).text(), "pong");
    /// ```
    pub fn request(&self, method: &str, path_and_query: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(&self.state, method, path_and_query)
    }

    /// Creates a call of a function. Set its input with [`json`](RequestBuilder::json).
    ///
    /// ```
    /// mortise_sdk::functions! { "double" => |number: i64| Ok(number * 2) }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.function("double").json(&21).call(&FUNCTIONS).json::<i64>(), 42);
    /// ```
    pub fn function(&self, name: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(&self.state, "POST", &format!("{FUNCTIONS_PATH}{name}"))
    }

    /// Moves the clock forward: the time of day, the age of cached entries, and the times at which
    /// jobs and schedules are due. A schedule adds a job for each of its times that passes, unless
    /// its previous job still waits and its `overlap` is `skip`. No job runs until
    /// [`run_jobs`](Self::run_jobs).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let host = mortise_sdk::testing::Host::builder().at(0).start();
    /// host.advance(Duration::from_millis(5));
    /// assert_eq!(mortise_sdk::time::now(), 5);
    /// ```
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.state.now_ms.get().saturating_add(by);
        self.state.now_ms.set(now_ms);
        self.state.background.tick(now_ms);
    }

    /// Replaces the caller of all further calls.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// host.set_principal(Principal::api_key("key-1", ["orders:read"]));
    /// assert!(context::current().principal.is_some());
    /// ```
    pub fn set_principal(&self, principal: impl Into<Option<Principal>>) {
        self.state.context.borrow_mut().principal = principal.into();
    }

    /// All logged lines, in order.
    ///
    /// ```
    /// assert!(mortise_sdk::testing::Host::start().logs().is_empty());
    /// ```
    pub fn logs(&self) -> Vec<LogLine> {
        self.state.logs.borrow().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        state::uninstall();
    }
}
