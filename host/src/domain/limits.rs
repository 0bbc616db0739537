//! Every limit, by name: its default, its ceiling and which abuse it stops.
//!
//! The limits of an invocation are the defaults, changed by the tenant's plan, then by the tenant's own overrides,
//! never above the ceiling; the manifest of a plugin may only lower them.

use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Span};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr, at most $ceiling:expr;)+) => {
        /// The limits under which a tenant's plugins run.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        /// Changes to some limits; what is absent stays as it is.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct LimitOverrides {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]

                pub $name: Option<$kind>,
            )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// What no plan and no override can exceed, unless the operator's configuration raises it.
            pub fn ceiling() -> Self {
                Self { $($name: $ceiling,)+ }
            }

            /// These limits with `overrides` in place of some, none above `ceiling`.
            pub fn with(&self, overrides: &LimitOverrides, ceiling: &Limits) -> Self {
                Self { $($name: overrides.$name.unwrap_or(self.$name).min(ceiling.$name),)+ }
            }

            /// These limits with `overrides` in place of some, without a ceiling.
            pub fn replaced_by(&self, overrides: &LimitOverrides) -> Self {
                Self { $($name: overrides.$name.unwrap_or(self.$name),)+ }
            }

            /// These limits, lowered where `overrides` asks for less.
            pub fn lowered_by(&self, overrides: &LimitOverrides) -> Self {
                self.with(overrides, self)
            }
        }
    };
}

limits! {
    /// All linear memories and tables of one instance together. Stops a plugin from filling the machine's memory.
    memory: ByteSize = ByteSize::mib(64), at most ByteSize::mib(256);
    /// Busy time of one invocation by HTTP. Stops endless loops.
    cpu: Span = Span::ms(50), at most Span::s(1);
    /// Wall-clock time of one invocation by HTTP, host calls included. Stops a plugin that waits for ever.
    wall: Span = Span::s(5), at most Span::s(60);
    /// Body of a request. Read only as far as this.
    request_body: ByteSize = ByteSize::mib(1), at most ByteSize::mib(32);
    /// Body of a response.
    response_body: ByteSize = ByteSize::mib(10), at most ByteSize::mib(64);
    /// Bytes of a tenant's responses that its callers have not taken yet. Stops callers that read slowly from filling
    /// the host's memory.
    response_backlog: ByteSize = ByteSize::mib(128), at most ByteSize::mib(1_024);
    /// Invocations of a tenant that run at once. Stops one tenant from taking every instance.
    concurrency: u32 = 32, at most 1_024;
    /// Requests of a tenant that wait for their turn behind those.
    queue: u32 = 128, at most 10_000;
    /// The tenant's share of threads and instances, for which all tenants compete: one with share 2 gets twice as
    /// much as one with share 1 where both want more than there is. Whoever is alone gets everything.
    share: u32 = 1, at most 100;
    /// How long a request waits for its turn.
    queue_wait: Span = Span::s(1), at most Span::s(30);
    /// Requests of a tenant per second, in the long run.
    requests_per_second: u32 = 1_000, at most 1_000_000;
    /// Requests of a tenant that may come at once after a quiet time.
    request_burst: u32 = 2_000, at most 2_000_000;
    /// Host calls of one invocation. Stops a loop of calls that are cheap for the plugin and dear for the host.
    host_calls: u32 = 1_000, at most 10_000;
    /// Bytes that one host call may hand over, or as many as a response may have where that is more. Stops arguments
    /// that would fill the host's memory.
    host_call_bytes: ByteSize = ByteSize::mib(4), at most ByteSize::mib(16);
    /// Resources that one instance may hold open: transactions, cursors, requests under way.
    handles: u32 = 1_000, at most 1_000;
    /// SQL statements of one invocation.
    sql_statements: u32 = 100, at most 1_000;
    /// Time of one SQL statement. Stops a query that never ends.
    sql_time: Span = Span::s(2), at most Span::s(30);
    /// Rows of one SQL result.
    sql_rows: u32 = 10_000, at most 100_000;
    /// Bytes of one SQL result.
    sql_bytes: ByteSize = ByteSize::mib(8), at most ByteSize::mib(32);
    /// A tenant's database on disk.
    database_size: ByteSize = ByteSize::mib(256), at most ByteSize::mib(16_384);
    /// All cache entries of a tenant together.
    cache_size: ByteSize = ByteSize::mib(8), at most ByteSize::mib(1_024);
    /// One cache entry.
    cache_value: ByteSize = ByteSize::mib(1), at most ByteSize::mib(16);
    /// Outbound requests of one invocation, retries included.
    http_requests: u32 = 16, at most 64;
    /// Outbound requests of one invocation at once.
    http_concurrency: u32 = 6, at most 16;
    /// Body of an outbound response.
    http_response_body: ByteSize = ByteSize::mib(5), at most ByteSize::mib(32);
    /// Time to connect, TLS included.
    http_connect: Span = Span::s(5), at most Span::s(30);
    /// Time until the head of an outbound response has come.
    http_first_byte: Span = Span::s(10), at most Span::s(60);
    /// Time of one outbound request as a whole.
    http_total: Span = Span::s(30), at most Span::s(60);
    /// Log lines of one invocation. What is beyond is counted and dropped.
    log_lines: u32 = 200, at most 10_000;
    /// Bytes of all log lines of one invocation. What is beyond is counted and dropped.
    log_bytes: ByteSize = ByteSize::kib(64), at most ByteSize::mib(1);
    /// A component as it is uploaded.
    component_size: ByteSize = ByteSize::mib(32), at most ByteSize::mib(64);
    /// A component after it was compiled.
    compiled_size: ByteSize = ByteSize::mib(96), at most ByteSize::mib(192);
    /// Versions kept of a plugin; the oldest that is not active leaves.
    versions_kept: u32 = 50, at most 1_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_wins_but_not_over_the_ceiling() {
        let overrides = LimitOverrides {
            memory: Some(ByteSize::mib(1_024)),
            queue: Some(1),
            ..Default::default()
        };
        let limits = Limits::default().with(&overrides, &Limits::ceiling());
        assert_eq!(limits.memory, ByteSize::mib(256));
        assert_eq!(limits.queue, 1);
        assert_eq!(limits.cpu, Limits::default().cpu);
    }

    #[test]
    fn a_manifest_only_lowers() {
        let asks = LimitOverrides {
            cpu: Some(Span::ms(10)),
            wall: Some(Span::s(50)),
            ..Default::default()
        };
        let limits = Limits::default().lowered_by(&asks);
        assert_eq!(limits.cpu, Span::ms(10));
        assert_eq!(limits.wall, Limits::default().wall);
    }

    #[test]
    fn defaults_lie_within_the_ceiling() {
        let unchanged = Limits::default().with(&LimitOverrides::default(), &Limits::ceiling());
        assert_eq!(unchanged, Limits::default());
    }

    #[test]
    fn the_documentation_lists_every_limit_with_its_default_and_ceiling() {
        let document = include_str!("../../../docs/limits.md");
        let table = |limits| toml::Table::try_from(limits).unwrap();
        let (defaults, ceilings) = (table(Limits::default()), table(Limits::ceiling()));
        let plain = |value: &toml::Value| value.to_string().replace(['"', ' ', ','], "");
        for (name, default) in &defaults {
            let row = document
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row
                .unwrap_or_else(|| panic!("docs/limits.md leaves out `{name}`"))
                .replace([' ', ','], "");
            let wanted = format!("|`{name}`|{}|{}|", plain(default), plain(&ceilings[name]));
            assert!(row.starts_with(&wanted), "{row} does not start with {wanted}");
        }
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        let error = toml::from_str::<LimitOverrides>("memroy = '1MiB'").unwrap_err();
        assert!(error.message().contains("unknown field `memroy`"), "{error}");
    }
}
