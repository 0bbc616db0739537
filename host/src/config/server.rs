//! `[server]`: addresses, connection limits and timeouts of the listeners.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::public_url::ConfiguredUrl;
use crate::domain::units::{ByteSize, Span};
use crate::server::body::Pace;

/// Addresses, connection limits and timeouts of the listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Address for API consumers.
    #[serde(deserialize_with = "from_text")]
    pub public: SocketAddr,
    /// URL under which API consumers reach the public listener from outside, such as
    /// `https://api.example.com`. Behind a proxy it differs from the listener's address. Empty: the
    /// listener's address.
    pub public_url: ConfiguredUrl,
    /// Address for operators and customers. It should not be reachable from the internet.
    #[serde(deserialize_with = "from_text")]
    pub admin: SocketAddr,
    /// Open connections of each listener. Above this number, each new connection closes an idle
    /// one. If none is idle, the new connection is closed.
    pub connections: u32,
    /// Open connections from one IP address, or from one /64 of IPv6. Further ones are closed at
    /// once. Behind a proxy, set it to `connections`, since all connections come from the proxy.
    pub connections_per_address: u32,
    /// Time from the first byte of a request to the end of its head. Also the time to read the rest
    /// of a refused request's body.
    pub header_timeout: Span,
    /// Time until an idle HTTP/1.1 connection is closed. It must be longer than the idle timeout of
    /// a proxy in front, which could otherwise send a request on a closing connection.
    pub keep_alive: Span,
    /// Time until the body of a request must be complete.
    pub body_timeout: Span,
    /// Lowest rate of a request body in bytes per second, uploads included. 0B: no minimum.
    pub body_rate: ByteSize,
    /// Period over which the rate is measured, repeatedly until the body is complete.
    pub body_grace: Span,
    /// Memory for the request bodies of all tenants. A tenant may take as much of it as is free, so
    /// that the others always have a part left.
    pub body_memory: ByteSize,
    /// Time within which the caller must read the next 64 KiB of a response.
    pub write_timeout: Span,
    /// Time until an idle HTTP/2 connection is closed.
    pub idle_timeout: Span,
    /// Age at which a connection accepts no more requests. It is closed when its running requests
    /// have ended.
    pub connection_age: Span,
    /// Time from the signal to stop until the listeners close. Readiness is 503 meanwhile, so that
    /// a load balancer can remove the host.
    pub drain_delay: Span,
    /// Time for running requests to end when the host stops.
    pub drain_timeout: Span,
}

/// Parses the address of a listener.
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
    /// The lowest pace of a request body that may take up to `timeout`.
    pub fn pace(&self, timeout: Span) -> Pace {
        Pace {
            timeout,
            rate: self.body_rate,
            grace: self.body_grace,
        }
    }
}
