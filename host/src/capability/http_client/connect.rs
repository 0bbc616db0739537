//! Opens connections: TCP to a checked address, TLS with the server's name, then HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host;

use super::allowance::{Allowance, Metered};
use super::connection::{Connection, Driver, Line, within_bounds};
use super::error::{Phase, SendError};
use super::grant::Target;
use super::work::Work;
use super::{CertificateAuthority, InvalidCertificateAuthority};
use crate::domain::origin::Scheme;
use crate::metrics::GaugeGuard;

/// Most headers of a response. Stops a server from filling memory with headers.
pub const MOST_RESPONSE_HEADERS: usize = 100;
/// Most bytes of response headers.
pub const MOST_RESPONSE_HEADER_BYTES: usize = 64 * 1024;

/// TLS sessions that are kept for one tenant.
const RESUMABLE_SESSIONS: usize = 32;

/// The TLS settings of the host: it trusts the public web's certificate authorities and `extra`.
pub fn tls_settings(extra: &[CertificateAuthority]) -> Result<ClientConfig, InvalidCertificateAuthority> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for CertificateAuthority { file, certificate } in extra {
        let added = roots.add(certificate.clone());
        added.map_err(|reason| InvalidCertificateAuthority {
            file: file.clone(),
            reason,
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}

/// The settings for one tenant. Other tenants cannot resume its sessions.
pub fn tls_for_tenant(settings: &ClientConfig) -> TlsConnector {
    let mut settings = settings.clone();
    settings.resumption = Resumption::in_memory_sessions(RESUMABLE_SESSIONS);
    TlsConnector::from(Arc::new(settings))
}

/// Connects to the first of `addresses` that answers. `held` counts the connection until it is
/// closed. The caller enforces `deadline`. The addresses share the time until then, so that one
/// silent address does not use up all of it.
pub async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    tls: &TlsConnector,
    work: &Work,
    held: GaugeGuard,
    deadline: Instant,
) -> Result<Connection, SendError> {
    let (stream, peer) = dial(target, addresses, deadline).await?;
    let allowance = Arc::new(Allowance::for_handshake());
    let stream = Metered::new(stream, allowance.clone());
    let (sender, driver) = match target.origin.scheme() {
        Scheme::Http => handshake(stream, target).await?,
        Scheme::Https => {
            let connecting = tls.connect(server_name(target)?, stream);
            let stream = within_bounds(&allowance, work, connecting)
                .await?
                .map_err(|error| {
                    tracing::debug!(origin = %target.origin, %error, "a TLS handshake failed");
                    SendError::Tls {
                        origin: target.origin.to_string(),
                        reason: tls_reason(&error),
                    }
                })?;
            handshake(stream, target).await?
        }
    };
    Ok(Connection {
        sender,
        line: Line::new(driver, allowance),
        peer,
        _held: held,
    })
}

async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), SendError> {
    let began = Instant::now();
    let mut reason = std::io::ErrorKind::TimedOut;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let addresses_left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout_at(
            Instant::now() + left / addresses_left,
            TcpStream::connect(address),
        )
        .await
        {
            Ok(Ok(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(origin = %target.origin, %error, "TCP_NODELAY cannot be set on a connection");
                }
                return Ok((stream, *address));
            }
            Ok(Err(error)) => {
                tracing::debug!(origin = %target.origin, %address, %error, "a connection failed");
                reason = error.kind();
            }
            Err(_) => reason = std::io::ErrorKind::TimedOut,
        }
    }
    if reason == std::io::ErrorKind::TimedOut {
        return Err(SendError::Timeout {
            phase: Phase::Connect,
            after: began.elapsed(),
        });
    }
    Err(SendError::Connect {
        origin: target.origin.to_string(),
        reason,
    })
}

async fn handshake<S>(stream: S, target: &Target) -> Result<(SendRequest<Full<Bytes>>, Driver), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = Builder::new()
        .max_headers(MOST_RESPONSE_HEADERS)
        .max_header_size(MOST_RESPONSE_HEADER_BYTES)
        .max_buf_size(MOST_RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = handshake.map_err(|_| SendError::Connect {
        origin: target.origin.to_string(),
        reason: std::io::ErrorKind::ConnectionReset,
    })?;
    Ok((sender, Box::pin(connection)))
}

fn server_name(target: &Target) -> Result<ServerName<'static>, SendError> {
    match &target.host {
        Host::Ipv4(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|_| SendError::InvalidRequest(format!("`{name}` is not a name that TLS can prove"))),
    }
}

/// Messages of rustls name certificates and protocols of the server, and nothing of this host.
fn tls_reason(error: &std::io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => error.to_string(),
        None => error.kind().to_string(),
    }
}
