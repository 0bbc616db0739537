//! `[server]`: where the host listens, and how long it waits for its callers.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::public_url::ConfiguredUrl;
use crate::domain::units::{ByteSize, Span};
use crate::server::body::Pace;

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
