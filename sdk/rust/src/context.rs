//! The context of this invocation: its caller, its identity and its remaining time.

use std::time::Duration;

use crate::host::{Backend, Host};

/// A scope that stands for all scopes.
const EVERY_SCOPE: &str = "*";

/// What started this invocation.
///
/// ```
/// let _host = mortise_sdk::testing::Host::start();
/// assert_eq!(mortise_sdk::context::current().trigger, mortise_sdk::context::Trigger::Http);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A request.
    Http,
    /// Background work.
    Job,
    /// A live connection.
    Socket,
    /// A typed extension point.
    Function,
}

/// The authenticated caller. As an extractor it rejects a call without a principal with 401.
///
/// On a route with `auth = "public"` there is never a principal: the host ignores credentials on
/// such a route, so `Option<Principal>` is `None` even for a valid key. To serve both kinds of
/// callers, define two routes.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn whoami(principal: Principal) -> String {
///     principal.id
/// }
/// # assert_eq!(whoami(Principal::api_key("key-1", ["orders:read"])), "key-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `api-key`, `user` or `service`.
    pub kind: String,
    /// The id of the key, user or service.
    pub id: String,
    /// The scopes of the credential. The scope `*` includes every scope: check with
    /// [`has_scope`](Self::has_scope).
    pub scopes: Vec<String>,
    /// The verified claims of a token, as a JSON object; `{}` for an API key.
    pub claims: String,
    /// The tenant's customer that the credential belongs to, if any.
    pub customer: Option<String>,
    /// The attributes that the tenant set for the principal, as a JSON object; `{}` if there are
    /// none.
    pub attributes: String,
}

/// The identity of this invocation. Also an extractor.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn trace(context: Context) -> String {
///     format!("{} {}", context.plugin, context.version)
/// }
/// # let _host = mortise_sdk::testing::Host::start();
/// # assert_eq!(trace(context::current()), "test 0.0.0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// A UUID, which is also the response's `x-request-id` and part of every log line.
    pub id: String,
    /// The tenant that the plugin runs for.
    pub tenant: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version, such as `1.2.0`.
    pub version: String,
    /// What started the invocation.
    pub trigger: Trigger,
    /// The authenticated caller; always absent on a public route.
    pub principal: Option<Principal>,
    /// The caller's W3C trace context, if it sent a valid one.
    pub traceparent: Option<String>,
    /// The IP address that the call came from. Behind a proxy it is the proxy's.
    pub remote_address: Option<String>,
}

/// The identity of this invocation.
///
/// ```
/// let _host = mortise_sdk::testing::Host::start();
/// assert_eq!(mortise_sdk::context::current().tenant, "test");
/// ```
pub fn current() -> Context {
    Host::context()
}

/// The wall-clock time left before the host ends this invocation.
///
/// ```
/// let _host = mortise_sdk::testing::Host::start();
/// assert!(mortise_sdk::context::remaining().as_secs() <= 5);
/// ```
pub fn remaining() -> Duration {
    Duration::from_millis(Host::remaining_ms())
}

impl Principal {
    /// The principal of an API key, for tests.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Principal::api_key("key-1", ["orders:read"]).kind, "api-key");
    /// ```
    pub fn api_key<const N: usize>(id: &str, scopes: [&str; N]) -> Self {
        Self {
            kind: "api-key".to_owned(),
            id: id.to_owned(),
            scopes: scopes.map(str::to_owned).to_vec(),
            claims: "{}".to_owned(),
            customer: None,
            attributes: "{}".to_owned(),
        }
    }

    /// Whether the credential has this scope, by its name or by `*`. The host uses the same rule
    /// for a route.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let principal = Principal::api_key("key-1", ["orders:read"]);
    /// assert!(principal.has_scope("orders:read") && !principal.has_scope("orders:write"));
    /// assert!(Principal::api_key("key-2", ["*"]).has_scope("orders:write"));
    /// ```
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes
            .iter()
            .any(|held| held == scope || held == EVERY_SCOPE)
    }
}
