//! All limits: the name, the default, the ceiling, the owner and the measurement of each.
//!
//! The limits of an invocation are the defaults, changed by the tenant's plan and then by the
//! tenant's own overrides, but never above the ceiling. The manifest of a plugin may only lower
//! them. Values above the ceiling, or with which no plugin could run, are refused when they are
//! set.

use serde::{Deserialize, Serialize};

use super::effective::{Effective, Kind as _, OutOfRange, Range, Source, overridden};
use super::units::{ByteSize, Span};

/// What a limit bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// One invocation. The manifest of a plugin may lower the limit.
    Invocation,
    /// All of a tenant's plugins together. No plugin can change the limit.
    Tenant,
}

/// A limit as the documentation lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name of the field of [`Limits`], which is also the key in the configuration.
    pub name: &'static str,
    /// What the limit bounds.
    pub owner: Owner,
    /// The measurement that is compared with the limit: a field of
    /// [`Usage`](super::invocation::Usage), or a member of another resource of the admin API if the
    /// name has a dot.
    pub figure: &'static str,
}

macro_rules! limits {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $kind:ty = $default:expr, $(at least $floor:expr,)? at most $ceiling:expr,
            of $owner:ident, seen in $figure:literal;
    )+) => {
        /// The limits under which a tenant's plugins run.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        /// Changes to some limits. Absent limits stay as they are.
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
            /// All limits.
            pub const ALL: &[Limit] = &[
                $(Limit { name: stringify!($name), owner: Owner::$owner, figure: $figure },)+
            ];

            /// The highest values of plans and overrides, unless the operator's configuration
            /// raises them.
            pub fn ceiling() -> Self {
                Self { $($name: $ceiling,)+ }
            }

            /// The lowest values with which a plugin can run. Lower ones are refused.
            pub fn floor() -> Self {
                Self { $($name: <$kind>::ZERO$(.max($floor))?,)+ }
            }

            /// The limits that differ from `other`.
            pub fn beside(&self, other: &Limits) -> LimitOverrides {
                LimitOverrides { $($name: (self.$name != other.$name).then_some(self.$name),)+ }
            }

            /// The effective value of each limit: the default from `self`, changed by each of
            /// `layers`.
            pub fn effective(
                &self,
                layers: &[(Source, &LimitOverrides)],
                ceiling: &Limits,
            ) -> Vec<Effective> {
                let floor = Self::floor();
                vec![$({
                    let range = Range {
                        name: stringify!($name),
                        owner: Owner::$owner,
                        floor: floor.$name,
                        ceiling: ceiling.$name,
                    };
                    range.effective(self.$name, layers.iter().map(|(source, values)| (*source, values.$name)))
                },)+]
            }

            /// These limits, changed by `overrides`, but none above `ceiling`.
            pub fn with(&self, overrides: &LimitOverrides, ceiling: &Limits) -> Self {
                Self { $($name: overridden(self.$name, overrides.$name, ceiling.$name),)+ }
            }

            /// These limits, changed by `overrides`, without a ceiling.
            pub fn replaced_by(&self, overrides: &LimitOverrides) -> Self {
                Self { $($name: overrides.$name.unwrap_or(self.$name),)+ }
            }

            /// These limits, lowered to `overrides` if that is less.
            pub fn lowered_by(&self, overrides: &LimitOverrides) -> Self {
                self.with(overrides, self)
            }
        }

        impl LimitOverrides {
            /// Refuses values above the ceiling, or with which no plugin could run.
            pub fn check(&self, ceiling: &Limits) -> Result<(), OutOfRange> {
                let floor = Limits::floor();
                $(if let Some(value) = self.$name {
                    let (name, owner) = (stringify!($name), Owner::$owner);
                    Range { name, owner, floor: floor.$name, ceiling: ceiling.$name }.check(value)?;
                })+
                Ok(())
            }

            /// Refuses values with which no plugin could run.
            pub fn check_floor(&self) -> Result<(), OutOfRange> {
                let floor = Limits::floor();
                $(if let Some(value) = self.$name {
                    let (name, owner) = (stringify!($name), Owner::$owner);
                    Range { name, owner, floor: floor.$name, ceiling: value }.check_floor(value)?;
                })+
                Ok(())
            }

            /// The first of these limits that belongs to the tenant, so that a plugin may not
            /// change it.
            pub fn changed_of_tenant(&self) -> Option<&'static str> {
                let changed = [$((Owner::$owner, stringify!($name), self.$name.is_some()),)+];
                let (_, name, _) = changed.iter().find(|(owner, _, set)| *set && *owner == Owner::Tenant)?;
                Some(name)
            }
        }
    };
}

limits! {
    /// All linear memories and tables of one instance together. Stops a plugin from filling the
    /// machine's memory.
    memory: ByteSize = ByteSize::mib(64), at least ByteSize::kib(64), at most ByteSize::mib(256),
        of Invocation, seen in "memory_bytes";
    /// CPU time of one invocation. Stops endless loops.
    cpu: Span = Span::ms(50), at least Span::ms(1), at most Span::s(1),
        of Invocation, seen in "cpu_us";
    /// Wall-clock time of one invocation, host calls included. Stops a plugin that waits forever.
    wall: Span = Span::s(5), at least Span::ms(1), at most Span::s(60),
        of Invocation, seen in "wall_us";
    /// Body of a request. Larger bodies are not read further.
    request_body: ByteSize = ByteSize::mib(1), at most ByteSize::mib(32),
        of Invocation, seen in "request_bytes";
    /// Bytes of a tenant's request bodies that are being read or wait for their invocation, and 16
    /// KiB for each slow one. Callers of public routes may use half of it. Stops callers that send
    /// slowly from filling the host's memory.
    request_backlog: ByteSize = ByteSize::mib(64), at least ByteSize(1), at most ByteSize::mib(1_024),
        of Tenant, seen in "request_backlog_bytes";
    /// Body of a response.
    response_body: ByteSize = ByteSize::mib(10), at least ByteSize(1), at most ByteSize::mib(64),
        of Invocation, seen in "response_bytes";
    /// Bytes of a tenant's responses that callers have not read yet. Stops callers that read slowly
    /// from filling the host's memory.
    response_backlog: ByteSize = ByteSize::mib(128), at least ByteSize(1), at most ByteSize::mib(1_024),
        of Tenant, seen in "backlog_bytes";
    /// Invocations of a tenant that run at once. Stops one tenant from taking every instance.
    concurrency: u32 = 32, at least 1, at most 1_024,
        of Tenant, seen in "place";
    /// Requests of a tenant that wait in the queue.
    queue: u32 = 128, at most 10_000,
        of Tenant, seen in "place";
    /// Warm instances of a tenant, for plugins that reuse instances. Stops an idle tenant from
    /// holding memory.
    instances_kept: u32 = 8, at most 1_024,
        of Tenant, seen in "instances_kept";
    /// The tenant's weight when tenants compete for threads and instances. A tenant with share 2
    /// gets twice as much as one with share 1. A tenant without competitors gets everything.
    share: u32 = 1, at least 1, at most 100,
        of Tenant, seen in "queued_us";
    /// How long a request waits in the queue.
    queue_wait: Span = Span::s(1), at most Span::s(30),
        of Tenant, seen in "queued_us";
    /// Requests of a tenant per second, in the long run.
    requests_per_second: u32 = 1_000, at least 1, at most 1_000_000,
        of Tenant, seen in "burst_taken";
    /// Requests of a tenant that may come at once after an idle time.
    request_burst: u32 = 2_000, at least 1, at most 2_000_000,
        of Tenant, seen in "burst_taken";
    /// Host calls of one invocation. Stops loops of calls that cost the plugin little and the host
    /// much.
    host_calls: u32 = 1_000, at most 10_000,
        of Invocation, seen in "host_calls";
    /// Bytes that one host call may pass. Stops arguments that would fill the host's memory.
    host_call_bytes: ByteSize = ByteSize::mib(4), at least ByteSize(1), at most ByteSize::mib(16),
        of Invocation, seen in "host_call_bytes";
    /// Resources that one instance may hold open: transactions, cursors and outbound requests.
    handles: u32 = 1_000, at most 1_000,
        of Invocation, seen in "handles";
    /// SQL statements of one invocation.
    sql_statements: u32 = 100, at most 1_000,
        of Invocation, seen in "sql_statements";
    /// Time of one SQL statement. Stops a query that never ends.
    sql_time: Span = Span::s(2), at most Span::s(30),
        of Invocation, seen in "sql_statement_us";
    /// Rows of one SQL result.
    sql_rows: u32 = 10_000, at most 100_000,
        of Invocation, seen in "sql_result_rows";
    /// Bytes of one SQL result.
    sql_bytes: ByteSize = ByteSize::mib(8), at most ByteSize::mib(32),
        of Invocation, seen in "sql_result_bytes";
    /// Memory that SQLite uses for a tenant: statements, the schema and cached pages. Stops one
    /// tenant from filling the machine's memory by SQL.
    sql_memory: ByteSize = ByteSize::mib(64), at most ByteSize::mib(1_024),
        of Tenant, seen in "sql_memory_bytes";
    /// A tenant's database on disk.
    database_size: ByteSize = ByteSize::mib(256), at most ByteSize::mib(16_384),
        of Tenant, seen in "database_bytes";
    /// All cache entries of a tenant together.
    cache_size: ByteSize = ByteSize::mib(8), at most ByteSize::mib(1_024),
        of Tenant, seen in "cache_bytes";
    /// One cache entry.
    cache_value: ByteSize = ByteSize::mib(1), at most ByteSize::mib(16),
        of Invocation, seen in "cache_value_bytes";
    /// Outbound requests of one invocation, retries included.
    http_requests: u32 = 16, at most 64,
        of Invocation, seen in "http_requests";
    /// Outbound requests of one invocation at once.
    http_concurrency: u32 = 6, at most 16,
        of Invocation, seen in "http_at_once";
    /// Body of an outbound response.
    http_response_body: ByteSize = ByteSize::mib(5), at most ByteSize::mib(32),
        of Invocation, seen in "http_response_bytes";
    /// Time to connect, TLS included.
    http_connect: Span = Span::s(5), at most Span::s(30),
        of Invocation, seen in "http_connect_us";
    /// Time until the head of an outbound response arrives.
    http_first_byte: Span = Span::s(10), at most Span::s(60),
        of Invocation, seen in "http_first_byte_us";
    /// Time of one outbound request as a whole.
    http_total: Span = Span::s(30), at most Span::s(60),
        of Invocation, seen in "http_request_us";
    /// CPU time of one attempt of a job. Stops endless loops.
    job_cpu: Span = Span::s(1), at least Span::ms(1), at most Span::s(60),
        of Invocation, seen in "cpu_us";
    /// Wall-clock time of one attempt of a job, host calls included. Stops a job that waits
    /// forever.
    job_wall: Span = Span::s(60), at least Span::ms(1), at most Span::s(15 * 60),
        of Invocation, seen in "wall_us";
    /// Payload of one job or event. Stops the job queue from filling the disk with few jobs.
    job_payload: ByteSize = ByteSize::kib(64), at most ByteSize::mib(1),
        of Invocation, seen in "job_payload_bytes";
    /// Jobs and events that one invocation adds. Stops loops that fill the job queue.
    jobs_enqueued: u32 = 100, at most 1_000,
        of Invocation, seen in "jobs_enqueued";
    /// Stored steps of one job.
    steps: u32 = 100, at most 1_000,
        of Invocation, seen in "steps";
    /// Result of one step of a job.
    step_bytes: ByteSize = ByteSize::kib(64), at most ByteSize::mib(1),
        of Invocation, seen in "step_bytes";
    /// Receivers of one mail. Stops a plugin from writing to everybody at once.
    mail_recipients: u32 = 50, at most 1_000,
        of Invocation, seen in "mail_recipients";
    /// Content of one mail: its subject, its texts and its files. Stops mail from filling the disk.
    mail_size: ByteSize = ByteSize::mib(2), at most ByteSize::mib(16),
        of Invocation, seen in "mail_bytes";
    /// Files of one mail.
    mail_attachments: u32 = 10, at most 50,
        of Invocation, seen in "mail_attachments";
    /// Mails that a tenant sends within an hour. Stops a plugin from sending mail without end,
    /// which would get the server onto the lists of senders of spam.
    mails_per_hour: u32 = 1_000, at most 1_000_000,
        of Tenant, seen in "mails_sent";
    /// Stored mails of a tenant. When the limit is exceeded, the oldest that were sent are deleted.
    mails_kept: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "counts.mails";
    /// Jobs of a tenant that run at once. Stops one tenant from taking every slot for jobs.
    jobs_running: u32 = 8, at least 1, at most 1_024,
        of Tenant, seen in "summary.running";
    /// Jobs of a tenant that wait or run, those of open and committed transactions included; an
    /// event counts as a job for each of its receivers. Stops one tenant from filling the disk.
    /// Jobs that somebody retries are added even above it.
    job_backlog: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "summary.live";
    /// Length of a chain of jobs in which each job adds the next. An event counts as one job. Stops
    /// jobs that add jobs without end.
    job_depth: u32 = 8, at most 64,
        of Tenant, seen in "job_depth";
    /// Stored jobs of a tenant that are done or cancelled. When the limit is exceeded, the oldest
    /// are deleted.
    jobs_kept: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "summary.kinds";
    /// Stored dead letters of a tenant. When the limit is exceeded, the oldest are deleted.
    dead_jobs_kept: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "summary.dead";
    /// Schedules of all active versions of a tenant together. Each is held in memory.
    schedules: u32 = 50, at most 1_000,
        of Tenant, seen in "schedule.name";
    /// The most runs of one schedule in an hour. With 60, two runs are at least one minute apart.
    /// Stops schedules from filling the job queue.
    schedule_runs_per_hour: u32 = 60, at most 3_600,
        of Tenant, seen in "schedule.next_runs";
    /// Endpoints of a tenant that get webhooks. An event becomes a delivery for each of its topic.
    webhook_endpoints: u32 = 20, at most 1_000,
        of Tenant, seen in "counts.webhook_endpoints";
    /// Stored deliveries of a tenant that were delivered or given up. When the limit is exceeded,
    /// the oldest are deleted.
    deliveries_kept: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "delivery.state";
    /// Body of one received webhook. Larger bodies are not read further.
    webhook_body: ByteSize = ByteSize::kib(256), at least ByteSize(1), at most ByteSize::mib(4),
        of Tenant, seen in "received.bytes";
    /// Stored received webhooks of a tenant. When the limit is exceeded, the oldest are deleted
    /// whose job has ended.
    webhooks_kept: u32 = 10_000, at most 1_000_000,
        of Tenant, seen in "webhooks.received";
    /// Bytes of headers and bodies of all received webhooks of a tenant. When the limit is
    /// exceeded, the oldest are deleted whose job has ended. Stops senders from filling the disk.
    webhook_size: ByteSize = ByteSize::mib(64), at least ByteSize(1), at most ByteSize::mib(16_384),
        of Tenant, seen in "webhooks.bytes";
    /// Log lines of one invocation. Further lines are counted and dropped.
    log_lines: u32 = 200, at most 10_000,
        of Invocation, seen in "log_lines";
    /// Bytes of all log lines of one invocation. Further lines are counted and dropped.
    log_bytes: ByteSize = ByteSize::kib(64), at most ByteSize::mib(1),
        of Invocation, seen in "log_bytes";
    /// Bytes of a tenant's log lines per second, in the long run. A line counts as its text and 200
    /// bytes more. Stops a flood of lines from filling the disk and the ledger.
    log_bytes_per_second: ByteSize = ByteSize::kib(256), at most ByteSize::mib(64),
        of Tenant, seen in "log_bytes";
    /// Bytes of a tenant's log lines that may come at once after an idle time, counted in the same
    /// way.
    log_burst: ByteSize = ByteSize::mib(4), at most ByteSize::mib(1_024),
        of Tenant, seen in "log_bytes";
    /// Stored log lines of a tenant. Stops them from filling the disk before their retention time
    /// ends. When the limit is exceeded, the oldest 1/16 is deleted.
    log_size: ByteSize = ByteSize::mib(64), at most ByteSize::mib(16_384),
        of Tenant, seen in "kept.log_bytes";
    /// Stored invocation records of a tenant. When the limit is exceeded, the oldest 1/16 is
    /// deleted. Records are deleted in blocks, so up to 499 extra may remain.
    records_kept: u32 = 250_000, at most 100_000_000,
        of Tenant, seen in "kept.records";
    /// A component as it is uploaded.
    component_size: ByteSize = ByteSize::mib(32), at least ByteSize(1), at most ByteSize::mib(64),
        of Tenant, seen in "version.size";
    /// A compiled component.
    compiled_size: ByteSize = ByteSize::mib(96), at least ByteSize(1), at most ByteSize::mib(192),
        of Tenant, seen in "version.compiled_size";
    /// Plugins of a tenant. Stops one tenant from filling the disk and the routing table.
    plugins: u32 = 100, at most 1_000,
        of Tenant, seen in "counts.plugins";
    /// Valid API keys of a tenant. Each is held in memory.
    api_keys: u32 = 1_000, at most 100_000,
        of Tenant, seen in "counts.api_keys";
    /// Valid tokens of a tenant.
    tokens: u32 = 200, at most 10_000,
        of Tenant, seen in "counts.tokens";
    /// Secrets of a tenant. Each is held in memory, encrypted.
    secrets: u32 = 200, at most 1_000,
        of Tenant, seen in "counts.secrets";
    /// Settings of all plugins of a tenant together. Each is held in memory.
    config_entries: u32 = 1_000, at most 10_000,
        of Tenant, seen in "counts.config_entries";
    /// Addresses on a tenant's suppression list that people may add. Those that unsubscribe, or
    /// that servers refuse, are added above the limit too.
    suppressions: u32 = 100_000, at most 10_000_000,
        of Tenant, seen in "counts.suppressions";
    /// Stored versions of a plugin. When the limit is exceeded, the oldest inactive version is
    /// deleted.
    versions_kept: u32 = 50, at least 1, at most 1_000,
        of Tenant, seen in "plugin.versions";
}

impl Limits {
    /// The limits of the attempts of jobs: `cpu` and `wall` are those of jobs.
    pub fn for_jobs(&self) -> Self {
        Self {
            cpu: self.job_cpu,
            wall: self.job_wall,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::invocation::Usage;

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
    fn what_nothing_could_run_with_is_refused_and_what_is_only_little_is_not() {
        let check = |text: &str| {
            let overrides: LimitOverrides = toml::from_str(text).unwrap();
            overrides
                .check(&Limits::ceiling())
                .map_err(|error| error.to_string())
        };
        for nonsense in [
            "memory = '0B'",
            "cpu = '0ms'",
            "wall = '0s'",
            "concurrency = 0",
            "share = 0",
            "requests_per_second = 0",
            "component_size = '0'",
            "versions_kept = 0",
            "job_cpu = '0ms'",
            "job_wall = '16min'",
            "jobs_running = 0",
            "job_backlog = 1000001",
            "schedule_runs_per_hour = 3601",
            "memory = '10GiB'",
            "cpu = '1h'",
            "records_kept = 4000000000",
        ] {
            let name = nonsense.split(' ').next().unwrap();
            let error = check(nonsense).unwrap_err();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
        }
        for little in [
            "queue = 0",
            "secrets = 0",
            "http_requests = 0",
            "job_payload = '0B'",
            "schedules = 0",
            "memory = '64KiB'",
            "cpu = '1ms'",
        ] {
            assert_eq!(check(little), Ok(()), "{little}");
        }
    }

    #[test]
    fn the_documentation_lists_every_floor() {
        let document = include_str!("../../../docs/limits.md");
        let floors = toml::Table::try_from(Limits::floor()).unwrap();
        let is_nothing = |value: &str| ["0", "0B", "0ms"].contains(&value);
        for Limit { name, .. } in Limits::ALL {
            let floor = floors[*name].to_string().replace('"', "");
            let row = format!("| `{name}` | {floor} |");
            assert_eq!(document.contains(&row), !is_nothing(&floor), "{row}");
        }
    }

    #[test]
    fn every_limit_is_explained_and_what_the_configuration_changes_is_known() {
        let changed = Limits {
            queue: 7,
            ..Limits::default()
        };
        let plan = LimitOverrides {
            cpu: Some(Span::ms(80)),
            ..Default::default()
        };
        assert_eq!(changed.beside(&Limits::default()).queue, Some(7));
        assert_eq!(changed.beside(&changed), LimitOverrides::default());
        let effective = changed.effective(&[(Source::Plan, &plan)], &Limits::ceiling());
        assert_eq!(effective.len(), Limits::ALL.len());
        let of = |name: &str| effective.iter().find(|limit| limit.name == name).unwrap();
        assert_eq!(of("cpu").source, Source::Plan);
        assert_eq!(of("cpu").value.to_string(), "80ms");
        assert_eq!(
            (of("queue").source, of("queue").value.to_string()),
            (Source::Default, "7".to_owned())
        );
    }

    #[test]
    fn what_is_shown_is_what_runs() {
        let layer = |text: &str| toml::from_str::<LimitOverrides>(text).unwrap();
        let defaults = Limits {
            cpu: Span::s(9),
            ..Limits::default()
        };
        let plan = layer("memory = '10GiB'\nqueue = 7\nwall = '2s'");
        let tenant = layer("queue = 9\nshare = 4000");
        let manifest = layer("memory = '1MiB'\nwall = '4s'\ncpu = '10ms'");
        let ceiling = Limits::ceiling();
        let runs = defaults
            .with(&plan, &ceiling)
            .with(&tenant, &ceiling)
            .lowered_by(&manifest);
        let layers = [
            (Source::Plan, &plan),
            (Source::Tenant, &tenant),
            (Source::Manifest, &manifest),
        ];
        let runs = serde_json::to_value(runs).unwrap();
        for shown in defaults.effective(&layers, &ceiling) {
            let value = serde_json::to_value(&shown.value).unwrap();
            assert_eq!(value, runs[shown.name], "{}", shown.name);
        }
    }

    #[test]
    fn defaults_lie_within_the_ceiling() {
        Limits::default()
            .beside(&Limits::floor())
            .check(&Limits::ceiling())
            .unwrap();
        let unchanged = Limits::default().with(&LimitOverrides::default(), &Limits::ceiling());
        assert_eq!(unchanged, Limits::default());
    }

    #[test]
    fn the_documentation_lists_every_limit_as_it_is() {
        let document = include_str!("../../../docs/limits.md");
        let table = |limits| toml::Table::try_from(limits).unwrap();
        let (defaults, ceilings) = (table(Limits::default()), table(Limits::ceiling()));
        let plain = |value: &toml::Value| value.to_string().replace(['"', ' ', ','], "");
        for Limit { name, owner, figure } in Limits::ALL {
            let row = document
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row
                .unwrap_or_else(|| panic!("docs/limits.md leaves out `{name}`"))
                .replace([' ', ','], "");
            let whose = match owner {
                Owner::Invocation => "invocation",
                Owner::Tenant => "tenant",
            };
            let (default, ceiling) = (plain(&defaults[*name]), plain(&ceilings[*name]));
            let wanted = format!("|`{name}`|{whose}|{default}|{ceiling}|");
            assert!(row.starts_with(&wanted), "{row} does not start with {wanted}");
            assert!(
                row.ends_with(&format!("|`{figure}`|")),
                "{row} does not end with {figure}"
            );
        }
    }

    #[test]
    fn the_use_of_every_limit_is_seen() {
        let usage = serde_json::to_value(Usage::default()).unwrap();
        let elsewhere = [
            "counts.api_keys",
            "counts.config_entries",
            "counts.mails",
            "counts.plugins",
            "counts.secrets",
            "counts.suppressions",
            "counts.tokens",
            "counts.webhook_endpoints",
            "delivery.state",
            "kept.log_bytes",
            "kept.records",
            "plugin.versions",
            "received.bytes",
            "schedule.name",
            "schedule.next_runs",
            "summary.dead",
            "summary.kinds",
            "summary.live",
            "summary.running",
            "version.compiled_size",
            "version.size",
            "webhooks.bytes",
            "webhooks.received",
        ];
        for Limit { name, figure, .. } in Limits::ALL {
            assert!(
                usage.get(figure).is_some() || elsewhere.contains(figure),
                "the use of `{name}` is to be seen in `{figure}`, which is nowhere"
            );
        }
    }

    #[test]
    fn what_is_the_tenants_is_told_from_what_is_a_plugins() {
        let lowered = LimitOverrides {
            memory: Some(ByteSize::mib(1)),
            log_lines: Some(1),
            ..Default::default()
        };
        assert_eq!(lowered.changed_of_tenant(), None);
        let changed = LimitOverrides {
            queue: Some(1),
            ..lowered
        };
        assert_eq!(changed.changed_of_tenant(), Some("queue"));
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        let error = toml::from_str::<LimitOverrides>("memroy = '1MiB'").unwrap_err();
        assert!(error.message().contains("unknown field `memroy`"), "{error}");
    }
}
