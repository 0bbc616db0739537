//! The sections of the configuration, each with its defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::components::compile::CompileLimits;
use crate::components::shield::Shield;
use crate::domain::circuit::CircuitSettings;
use crate::domain::public_url::ConfiguredUrl;
use crate::domain::units::{ByteSize, Span};
use crate::server::body::Pace;

/// What one compilation may take.
pub type CompileSection = CompileLimits;

/// What is refused because of a fault in the engine.
pub type ShieldSection = Shield;

/// Where the host listens, and how long it waits for its callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Address for API consumers.
    #[serde(deserialize_with = "from_text")]
    pub public: SocketAddr,
    /// Where API consumers reach the public listener from outside, such as
    /// `https://api.example.com`: behind a proxy its address is another one. Empty: the address
    /// that it listens at.
    pub public_url: ConfiguredUrl,
    /// Address for operators and customers. Reachable from where they are, and not from the internet.
    #[serde(deserialize_with = "from_text")]
    pub admin: SocketAddr,
    /// Open connections of each listener. Beyond these an idle one is closed for each that comes; where none is idle,
    /// the new one.
    pub connections: u32,
    /// Of these, from one address, or from one /64 of IPv6. Beyond them a new one is closed at once. Behind a proxy all
    /// come from its address: set it as high as `connections` there.
    pub connections_per_address: u32,
    /// Until the head of a request has come, once its first byte has. Also for the rest of a body
    /// whose request was refused.
    pub header_timeout: Span,
    /// Until an HTTP/1.1 connection without requests is closed. Longer than a proxy in front keeps
    /// it, which otherwise sends a request on a connection that is just being closed.
    pub keep_alive: Span,
    /// Until the body of a request has come.
    pub body_timeout: Span,
    /// Bytes per second that a body must come at, those of uploads included. 0B: no minimum.
    pub body_rate: ByteSize,
    /// The time over which these bytes are counted, again and again until the body has come.
    pub body_grace: Span,
    /// Memory for the request bodies of all tenants. A tenant may take as much of it as is free, so
    /// that something is left for the others.
    pub body_memory: ByteSize,
    /// Until the caller has taken the next 64 KiB of a response.
    pub write_timeout: Span,
    /// Until an HTTP/2 connection without requests is closed.
    pub idle_timeout: Span,
    /// Until a connection takes no more requests, and is closed once it has none under way.
    pub connection_age: Span,
    /// From being told to stop until no connection is accepted any more. Readiness is 503 meanwhile, so that a load
    /// balancer can look elsewhere.
    pub drain_delay: Span,
    /// For requests under way when the host is told to stop.
    pub drain_timeout: Span,
}

/// The address of a listener as people write it.
pub fn listener_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not an IP address with a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080"
        )
    })
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    listener_address(&text).map_err(serde::de::Error::custom)
}

/// Where the host keeps what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// The folder. It is made where it is missing.
    pub folder: PathBuf,
    /// The file of the host's key, from which the others are derived. Empty: `host.key` in the folder, made on the
    /// first start. Without it the host does not start.
    pub key_file: PathBuf,
    /// Whether a control plane's database that does not belong to the folder is used all the same: for one
    /// start, so it is a flag of `serve` and no key.
    #[serde(skip)]
    pub accept_database: bool,
}

/// How plugins run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSection {
    /// Instances of all tenants at once. Each reserves 4 GiB of address space, but memory only as it is used.
    pub instances: u32,
    /// Besides those, instances of all tenants that wait for the next request of a plugin that reuses them.
    pub instances_kept: u32,
    /// Memories that nobody uses and that keep the data of the plugin that used them last, whose next request is then as
    /// fast as the one before. They are divided among the processors, up to 16. Each takes up to 512 KiB, and little where plugins
    /// write little.
    pub memories_warm: u32,
    /// Threads that run plugins. 0: one for each core.
    pub threads: u32,
    /// How much the system prefers other work to those threads: 0 (not at all) to 19.
    pub nice: u8,
    /// Compiled code that is kept in memory.
    pub loaded: ByteSize,
}

/// When the route of a plugin that fails all the time is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSection {
    /// Failures of a route one after the other after which it answers 503. 0: never.
    pub failures: u32,
    /// How long it does so until one request is let through. Each of those that fails doubles this.
    pub first_wait: Span,
    /// The longest that it does so.
    pub longest_wait: Span,
}

/// Outbound requests of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientSection {
    /// Whether plugins may reach loopback addresses of the host where a tenant grants it. For development.
    pub allow_loopback: bool,
    /// Files of certificate authorities (PEM) that are trusted besides those of the web.
    pub certificate_authorities: Vec<PathBuf>,
}

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSection {
    /// Invocations and log lines. Usage stays.
    pub invocations: Span,
    /// Deleted tenants and plugins. They can be restored until then.
    pub deleted: Span,
}

/// The host's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// What is logged, as `tracing` writes it: `info`, `mortise=debug,info`.
    pub filter: String,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            public: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: ConfiguredUrl::default(),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            connections: 10_000,
            connections_per_address: 1_000,
            header_timeout: Span::s(10),
            keep_alive: Span::s(75),
            body_timeout: Span::s(30),
            body_rate: ByteSize::kib(1),
            body_grace: Span::s(5),
            body_memory: ByteSize::mib(512),
            write_timeout: Span::s(30),
            idle_timeout: Span::s(60),
            connection_age: Span::s(60 * 60),
            drain_delay: Span::s(0),
            drain_timeout: Span::s(30),
        }
    }
}

impl ServerSection {
    /// How slowly a body may come that has so long in all.
    pub fn pace(&self, timeout: Span) -> Pace {
        Pace {
            timeout,
            rate: self.body_rate,
            grace: self.body_grace,
        }
    }
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            folder: "mortise-data".into(),
            key_file: PathBuf::new(),
            accept_database: false,
        }
    }
}

impl Default for RuntimeSection {
    fn default() -> Self {
        Self {
            instances: 256,
            instances_kept: 64,
            memories_warm: 1_024,
            threads: 0,
            nice: 0,
            loaded: ByteSize::mib(512),
        }
    }
}

impl RuntimeSection {
    /// Threads that run plugins: as many as there are cores, where none are given.
    pub fn threads(&self) -> usize {
        match usize::try_from(self.threads) {
            Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
            Ok(threads) => threads,
        }
    }
}

impl Default for BreakerSection {
    fn default() -> Self {
        Self {
            failures: 20,
            first_wait: Span::s(1),
            longest_wait: Span::s(60),
        }
    }
}

impl BreakerSection {
    /// As circuits take it.
    pub fn settings(&self) -> CircuitSettings {
        CircuitSettings {
            failures: self.failures,
            first_wait: self.first_wait.0,
            longest_wait: self.longest_wait.0,
        }
    }
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self {
            invocations: Span::s(30 * 24 * 60 * 60),
            deleted: Span::s(7 * 24 * 60 * 60),
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}
