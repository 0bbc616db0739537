//! Records of invocations: which plugin ran, how it ended, whose fault an error was, and what it
//! consumed.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::function::{self, FunctionOutcome};
use super::id::{FunctionName, InvocationId, JobId, JobName, PluginName, TenantId, VersionDigest};
use super::job::{self, JobOutcome};
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
    /// A job.
    Job,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 3] = [Self::Http, Self::Function, Self::Job];

    /// The trigger as records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Function => "function",
            Self::Job => "job",
        }
    }
}

/// What triggered an invocation, with the data of that kind of trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// A request.
    Http {
        /// The method of the request.
        method: Method,
        /// The route that matched.
        route: Arc<str>,
    },
    /// A call of a function.
    Function {
        /// The function.
        name: FunctionName,
        /// How the function ended; `None` if the host answered in the plugin's place.
        outcome: Option<FunctionOutcome>,
    },
    /// An attempt to run a job.
    Job {
        /// The job.
        id: JobId,
        /// The kind of job.
        name: JobName,
        /// The number of the attempt, 1 for the first one.
        attempt: u32,
        /// How the plugin said that the attempt ended; `None` if it said nothing.
        outcome: Option<JobOutcome>,
    },
}

impl Triggered {
    /// The method of the request, if a request was the trigger.
    pub fn method(&self) -> Option<&Method> {
        match self {
            Self::Http { method, .. } => Some(method),
            Self::Function { .. } | Self::Job { .. } => None,
        }
    }

    /// The route that matched, if a request was the trigger.
    pub fn route(&self) -> Option<&str> {
        match self {
            Self::Http { route, .. } => Some(route),
            Self::Function { .. } | Self::Job { .. } => None,
        }
    }

    /// The method with which the plugin was called; `None` for a job, which nobody called.
    pub fn called_with(&self) -> Option<Method> {
        match self {
            Self::Http { method, .. } => Some(method.clone()),
            Self::Function { .. } => Some(function::METHOD),
            Self::Job { .. } => None,
        }
    }

    /// A path by which records are found: the pattern of a route, or the path of a function or a
    /// kind of job below `/-/`.
    pub fn path(&self) -> Arc<str> {
        match self {
            Self::Http { route, .. } => route.clone(),
            Self::Function { name, .. } => function::path(name).into(),
            Self::Job { name, .. } => job::path(name).into(),
        }
    }

    /// The function, if a call was the trigger.
    pub fn function(&self) -> Option<&FunctionName> {
        match self {
            Self::Function { name, .. } => Some(name),
            Self::Http { .. } | Self::Job { .. } => None,
        }
    }

    /// How the function ended, if the plugin answered.
    pub fn function_outcome(&self) -> Option<FunctionOutcome> {
        match self {
            Self::Function { outcome, .. } => *outcome,
            Self::Http { .. } | Self::Job { .. } => None,
        }
    }

    /// The job, if one was the trigger.
    pub fn job_id(&self) -> Option<JobId> {
        match self {
            Self::Job { id, .. } => Some(*id),
            Self::Http { .. } | Self::Function { .. } => None,
        }
    }

    /// The kind of job, if a job was the trigger.
    pub fn job(&self) -> Option<&JobName> {
        match self {
            Self::Job { name, .. } => Some(name),
            Self::Http { .. } | Self::Function { .. } => None,
        }
    }

    /// The number of the attempt, if a job was the trigger.
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Job { attempt, .. } => Some(*attempt),
            Self::Http { .. } | Self::Function { .. } => None,
        }
    }

    /// How the attempt to run a job ended, if the plugin said so.
    pub fn job_outcome(&self) -> Option<JobOutcome> {
        match self {
            Self::Job { outcome, .. } => *outcome,
            Self::Http { .. } | Self::Function { .. } => None,
        }
    }

    /// Why the plugin ran.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Http { .. } => Trigger::Http,
            Self::Function { .. } => Trigger::Function,
            Self::Job { .. } => Trigger::Job,
        }
    }
}

/// Who caused an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The caller, by a wrong request.
    Client,
    /// The plugin, by a failure of its own.
    Guest,
    /// A limit that was reached.
    Limit,
    /// The host.
    Host,
}

/// Recorded in place of a problem's code if the caller disconnected before the answer.
pub const ABANDONED: &str = "abandoned";

/// Declares the measurements of an invocation: a field of [`Usage`] for each, and its name for
/// [`Usage::used`]. A measurement with `=> sum` also becomes a field of [`UsageSum`], which is
/// added up by hour. It needs a column of the same name in `usage_hours`.
macro_rules! usage {
    ($($(#[$about:meta])* $number:ident: $type:ty $(=> $sum:ident)?,)*) => {
        /// What one invocation consumed. A time in microseconds ends in `_us`. A number is the sum
        /// over the invocation, unless its description names a maximum or a state.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(default)]
        pub struct Usage {
            $($(#[$about])* pub $number: $type,)*
        }

        impl Usage {
            /// The measurements that are not zero, by name. Most of them are zero for most
            /// invocations.
            pub fn used(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let all = [$((stringify!($number), u64::from(self.$number))),*];
                all.into_iter().filter(|(_, number)| *number > 0)
            }
        }

        usage_sum! { [] $($(#[$about])* $number $(=> $sum)?,)* }
    };
}

/// Declares [`UsageSum`] from the measurements that are added up.
macro_rules! usage_sum {
    ([$($sums:tt)*] $(#[$about:meta])* $number:ident => sum, $($rest:tt)*) => {
        usage_sum! { [$($sums)* { $(#[$about])* $number }] $($rest)* }
    };
    ([$($sums:tt)*] $(#[$about:meta])* $number:ident, $($rest:tt)*) => {
        usage_sum! { [$($sums)*] $($rest)* }
    };
    ([$({ $(#[$about:meta])* $number:ident })*]) => {
        /// What a plugin consumed within a period. A time in microseconds ends in `_us`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        pub struct UsageSum {
            /// The plugin.
            pub plugin: PluginName,
            /// How often the plugin ran.
            pub invocations: u64,
            /// How often an invocation failed: the host answered with a problem, or the plugin
            /// answered with a status of 5xx.
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

            /// Builds a sum from numbers that are looked up by name.
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

            /// An empty sum.
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
    /// Time that the request waited for admission and for an instance.
    queued_us: u64 => sum,
    /// Running and waiting requests of the tenant when this one was admitted, itself included. At
    /// most `concurrency` plus `queue`.
    place: u32,
    /// How much of the tenant's `request_burst` was used when this request arrived, itself
    /// included.
    burst_taken: u32,
    /// Bytes of the tenant's `request_backlog` in use just before this invocation began, its own
    /// request included.
    request_backlog_bytes: u64,
    /// Bytes of the tenant's responses that callers had not read yet when this invocation began.
    backlog_bytes: u64,
    /// CPU time.
    cpu_us: u64 => sum,
    /// Wall-clock time without the time in the queue.
    wall_us: u64 => sum,
    /// Most bytes of linear memories and tables together.
    memory_bytes: u64,
    /// Invocations that the instance had served before; zero for a new instance.
    instance_reuses: u32,
    /// Warm instances of the tenant when this invocation began.
    instances_kept: u64,
    /// Host calls of all capabilities.
    host_calls: u32 => sum,
    /// Most bytes that one host call passed.
    host_call_bytes: u64,
    /// Most transactions, cursors and outbound requests that were open at once.
    handles: u32,
    /// SQL statements.
    sql_statements: u32 => sum,
    /// Time of SQL statements.
    sql_us: u64 => sum,
    /// The longest time of one SQL statement.
    sql_statement_us: u64,
    /// Rows that SQL returned.
    sql_rows: u64 => sum,
    /// Most rows of one SQL result.
    sql_result_rows: u64,
    /// Bytes that SQL returned.
    sql_bytes: u64 => sum,
    /// Most bytes of one SQL result.
    sql_result_bytes: u64,
    /// Most memory that SQLite held for the tenant during a statement.
    sql_memory_bytes: u64,
    /// Size of the tenant's database after the last statement; zero without one.
    database_bytes: u64,
    /// Cache calls.
    cache_calls: u32 => sum,
    /// Most bytes of one stored cache entry, its key included.
    cache_value_bytes: u64,
    /// Size of the tenant's cache after the last cache call; zero without one.
    cache_bytes: u64,
    /// Outbound requests, retries included.
    http_requests: u32 => sum,
    /// Bytes of outbound request and response bodies.
    http_bytes: u64 => sum,
    /// Time of outbound requests. Concurrent requests count separately.
    http_us: u64 => sum,
    /// Most outbound requests at once.
    http_at_once: u32,
    /// The longest time of one outbound request, its retries included.
    http_request_us: u64,
    /// The longest time to connect.
    http_connect_us: u64,
    /// The longest time until the head of an outbound response arrived.
    http_first_byte_us: u64,
    /// Most bytes of the body of one outbound response.
    http_response_bytes: u64,
    /// Jobs that were added.
    jobs_enqueued: u32 => sum,
    /// Events that were published.
    events_published: u32 => sum,
    /// Mails that were taken.
    mails_sent: u32 => sum,
    /// Most receivers of one mail.
    mail_recipients: u32,
    /// Most bytes of one mail: its subject, its texts and its files.
    mail_bytes: u64,
    /// Most files of one mail.
    mail_attachments: u32,
    /// Most bytes of the payload of one job or event that was added.
    job_payload_bytes: u64,
    /// Stored steps of the job after the last call; zero without one.
    steps: u32,
    /// Most bytes of the result of one step that was stored.
    step_bytes: u64,
    /// The longest chain of jobs that lead to each other, up to one that was added; zero if none
    /// was.
    job_depth: u32,
    /// Stored log lines.
    log_lines: u32 => sum,
    /// Log lines dropped because a limit was reached.
    log_lines_dropped: u32 => sum,
    /// Bytes of the stored log lines.
    log_bytes: u64 => sum,
    /// Bytes of the request body.
    request_bytes: u64 => sum,
    /// Bytes of the response body.
    response_bytes: u64 => sum,
}

/// The record of one invocation. It shares texts with the route and the plugin, so that the
/// ledger's thread does not free small allocations of the request's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationRecord {
    /// The id of the invocation.
    pub id: InvocationId,
    /// The tenant of the plugin.
    pub tenant: TenantId,
    /// The plugin that ran.
    pub plugin: PluginName,
    /// The version that ran.
    pub version: VersionDigest,
    /// What triggered the invocation.
    pub triggered: Triggered,
    /// Status of the response. A job has no response: 200 if the plugin reported success, 500 if it
    /// reported a failure, and otherwise the status of `code`.
    pub status: u16,
    /// Why the host answered in the plugin's place, if it did.
    pub code: Option<ProblemCode>,
    /// Who caused the problem.
    pub blame: Option<Blame>,
    /// The caller, if it is known.
    pub principal: Option<PrincipalId>,
    /// When the invocation began.
    pub started_at: Timestamp,
    /// What the invocation consumed.
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
