//! The record of one invocation: what ran, how it ended, whose fault it was, and what it consumed.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::function::{self, FunctionOutcome};
use super::id::{FunctionName, InvocationId, PluginName, TenantId, VersionDigest};
use super::principal::PrincipalId;
use super::problem_code::ProblemCode;

/// Why a plugin ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A request to one of its routes.
    Http,
    /// A call of one of its functions.
    Function,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 2] = [Self::Http, Self::Function];

    /// The trigger as records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Function => "function",
        }
    }
}

/// What was triggered, with what belongs to the trigger alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// A request.
    Http {
        /// Its method.
        method: Method,
        /// The route that matched.
        route: Arc<str>,
    },
    /// A call of a function.
    Function {
        /// Which function.
        name: FunctionName,
        /// What the plugin answered; `None` if the host answered in its place.
        outcome: Option<FunctionOutcome>,
    },
}

impl Triggered {
    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match self {
            Self::Http { method, .. } => Some(method),
            Self::Function { .. } => None,
        }
    }

    /// The route of a request.
    pub fn route(&self) -> Option<&str> {
        match self {
            Self::Http { route, .. } => Some(route),
            Self::Function { .. } => None,
        }
    }

    /// The path below the plugin's mount point that callers used: the pattern of a route, or the
    /// address of a function.
    pub fn path(&self) -> Arc<str> {
        match self {
            Self::Http { route, .. } => route.clone(),
            Self::Function { name, .. } => function::path(name).into(),
        }
    }

    /// The function that was called.
    pub fn function(&self) -> Option<&FunctionName> {
        match self {
            Self::Http { .. } => None,
            Self::Function { name, .. } => Some(name),
        }
    }

    /// How the function ended, if the plugin answered.
    pub fn outcome(&self) -> Option<FunctionOutcome> {
        match self {
            Self::Http { .. } => None,
            Self::Function { outcome, .. } => *outcome,
        }
    }

    /// Why the plugin ran.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Http { .. } => Trigger::Http,
            Self::Function { .. } => Trigger::Function,
        }
    }
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The caller sent something wrong.
    Client,
    /// The plugin failed.
    Guest,
    /// A limit was reached.
    Limit,
    /// The host failed.
    Host,
}

/// Stands in place of a problem's code where the caller went away before there was an answer.
pub const ABANDONED: &str = "abandoned";

/// Declares what is counted of an invocation: a field of [`Usage`] for each number, and their names
/// once more for [`Usage::used`]. A number that ends in `=> sum` is also a field of [`UsageSum`],
/// so that it is added up by hour. It needs a column of its name in `usage_hours`.
macro_rules! usage {
    ($($(#[$about:meta])* $number:ident: $type:ty $(=> $sum:ident)?,)*) => {
        /// What one invocation consumed, beside each limit that bounds it. A time in microseconds ends in `_us`. Unless it
        /// says that it is the most of something or how something stood, a number is the sum over the invocation.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(default)]
        pub struct Usage {
            $($(#[$about])* pub $number: $type,)*
        }

        impl Usage {
            /// The numbers that are not zero, by their names: most invocations use little.
            pub fn used(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let all = [$((stringify!($number), u64::from(self.$number))),*];
                all.into_iter().filter(|(_, number)| *number > 0)
            }
        }

        usage_sum! { [] $($(#[$about])* $number $(=> $sum)?,)* }
    };
}

/// Declares [`UsageSum`] from the numbers that are added up.
macro_rules! usage_sum {
    ([$($sums:tt)*] $(#[$about:meta])* $number:ident => sum, $($rest:tt)*) => {
        usage_sum! { [$($sums)* { $(#[$about])* $number }] $($rest)* }
    };
    ([$($sums:tt)*] $(#[$about:meta])* $number:ident, $($rest:tt)*) => {
        usage_sum! { [$($sums)*] $($rest)* }
    };
    ([$({ $(#[$about:meta])* $number:ident })*]) => {
        /// What a plugin consumed within some time. A time in microseconds ends in `_us`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        pub struct UsageSum {
            /// Which plugin.
            pub plugin: PluginName,
            /// How often it ran.
            pub invocations: u64,
            /// How often it failed: the host answered with a problem in its place, or it answered
            /// 5xx.
            pub failures: u64,
            $($(#[$about])* pub $number: u64,)*
        }

        impl UsageSum {
            /// The names of the numbers.
            pub const NAMES: &[&str] = &["invocations", "failures", $(stringify!($number)),*];

            /// The numbers, in the order of their names.
            pub fn numbers(&self) -> impl Iterator<Item = u64> {
                [self.invocations, self.failures, $(self.$number),*].into_iter()
            }

            /// A sum whose numbers are had by their names.
            pub fn try_of<E>(
                plugin: PluginName,
                mut number: impl FnMut(&'static str) -> Result<u64, E>,
            ) -> Result<Self, E> {
                Ok(Self {
                    plugin,
                    invocations: number("invocations")?,
                    failures: number("failures")?,
                    $($number: number(stringify!($number))?,)*
                })
            }

            /// Nothing consumed yet.
            pub fn none(plugin: PluginName) -> Self {
                Self { plugin, invocations: 0, failures: 0, $($number: 0,)* }
            }

            /// Adds another sum of the same plugin.
            pub fn merge(&mut self, other: &Self) {
                self.invocations += other.invocations;
                self.failures += other.failures;
                $(self.$number += other.$number;)*
            }

            /// Adds one invocation.
            pub fn add(&mut self, record: &InvocationRecord) {
                self.invocations += 1;
                self.failures += u64::from(record.has_failed());
                $(self.$number += u64::from(record.usage.$number);)*
            }
        }
    };
}

usage! {
    /// Waiting for a turn and for an instance.
    queued_us: u64 => sum,
    /// How many requests of the tenant ran and waited when this one was let in, itself included. It is at most the
    /// tenant's `concurrency` and `queue` together.
    place: u32,
    /// How much of the tenant's `request_burst` was taken when this one came, itself included.
    burst_taken: u32,
    /// What the tenant's request bodies took of its `request_backlog` just before this one began,
    /// its own included.
    request_backlog_bytes: u64,
    /// Bytes of the tenant's responses that its callers had not taken yet when this one began.
    backlog_bytes: u64,
    /// Busy time.
    cpu_us: u64 => sum,
    /// Wall-clock time, waiting for a turn excluded.
    wall_us: u64 => sum,
    /// The most bytes that linear memories and tables had together.
    memory_bytes: u64,
    /// Invocations that the instance had served before this one; zero in a fresh one.
    instance_reuses: u32,
    /// Instances of the tenant that waited for their next request when this one began.
    instances_kept: u64,
    /// Host calls of every capability together.
    host_calls: u32 => sum,
    /// The most bytes that one host call handed over.
    host_call_bytes: u64,
    /// The most transactions, cursors and outbound requests that were held at once.
    handles: u32,
    /// SQL statements.
    sql_statements: u32 => sum,
    /// Time of SQL statements.
    sql_us: u64 => sum,
    /// The longest time of one SQL statement.
    sql_statement_us: u64,
    /// Rows that SQL gave back.
    sql_rows: u64 => sum,
    /// The most rows of one SQL result.
    sql_result_rows: u64,
    /// Bytes that SQL gave back.
    sql_bytes: u64 => sum,
    /// The most bytes of one SQL result.
    sql_result_bytes: u64,
    /// The most memory that SQLite had taken for the tenant while a statement ran.
    sql_memory_bytes: u64,
    /// How large the tenant's database was after the last statement; zero where there was none.
    database_bytes: u64,
    /// Cache calls.
    cache_calls: u32 => sum,
    /// The most bytes of one cache entry that was stored, its key included.
    cache_value_bytes: u64,
    /// How large the tenant's cache was after the last cache call; zero where there was none.
    cache_bytes: u64,
    /// Outbound requests, retries included.
    http_requests: u32 => sum,
    /// Bytes of outbound request and response bodies.
    http_bytes: u64 => sum,
    /// Time of outbound requests; those at once count each.
    http_us: u64 => sum,
    /// The most outbound requests at once.
    http_at_once: u32,
    /// The longest time of one outbound request, its retries included.
    http_request_us: u64,
    /// The longest time to connect.
    http_connect_us: u64,
    /// The longest time until the head of an outbound response had come.
    http_first_byte_us: u64,
    /// The most bytes of one outbound response's body.
    http_response_bytes: u64,
    /// Log lines kept.
    log_lines: u32 => sum,
    /// Log lines dropped because a budget was spent.
    log_lines_dropped: u32 => sum,
    /// Bytes of the log lines kept.
    log_bytes: u64 => sum,
    /// Bytes of the request body.
    request_bytes: u64 => sum,
    /// Bytes of the response body.
    response_bytes: u64 => sum,
}

/// One run of one instance. What a request records shares its text with the route and the plugin, so that the thread of the
/// ledger frees no small pieces that the thread of the request allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationRecord {
    /// Its id.
    pub id: InvocationId,
    /// Whose it was.
    pub tenant: TenantId,
    /// Which plugin ran.
    pub plugin: PluginName,
    /// Which version of it.
    pub version: VersionDigest,
    /// Why it ran, and what belongs to that.
    pub triggered: Triggered,
    /// Status of the response.
    pub status: u16,
    /// Why the host answered in the plugin's place, if it did.
    pub code: Option<ProblemCode>,
    /// Whose fault that was.
    pub blame: Option<Blame>,
    /// The caller, if it is known.
    pub principal: Option<PrincipalId>,
    /// When it began.
    pub started_at: Timestamp,
    /// What it consumed.
    pub usage: Usage,
}

impl InvocationRecord {
    /// Whether the host answered with a problem in the plugin's place, or the plugin answered with
    /// a status of 5xx.
    pub fn has_failed(&self) -> bool {
        self.code.is_some() || self.status >= 500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_reads_back_as_it_was() {
        let usage = Usage {
            cpu_us: 7,
            log_lines: 2,
            ..Usage::default()
        };
        let used: Vec<_> = usage.used().collect();
        assert_eq!(used, [("cpu_us", 7), ("log_lines", 2)]);
        let object: serde_json::Map<_, _> = used
            .into_iter()
            .map(|(name, number)| (name.to_owned(), number.into()))
            .collect();
        assert_eq!(serde_json::from_value::<Usage>(object.into()).unwrap(), usage);
    }
}
