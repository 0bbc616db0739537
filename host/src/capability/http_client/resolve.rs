//! Resolves a host name to the addresses to which a connection is allowed.
//!
//! A name is resolved once for each connection, and the connection uses one of the checked
//! addresses; the name is not resolved again. Addresses in a URL pass the same check.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::Host;

use super::address::Reach;
use super::error::SendError;
use super::grant::Target;
use crate::fair_semaphore::{FairSemaphore, Lane};

/// Most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

/// Resolves host names.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Returns all addresses of `name`, the preferred ones first.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Default)]
pub struct SystemResolver;

/// Resolves names for one tenant. A look-up holds a thread until the operating system gives up,
/// even if nobody waits for it. So the number of look-ups of a tenant is bounded. The first look-up
/// of a tenant never waits for those of others.
#[derive(Clone)]
pub struct Lookups {
    resolver: Arc<dyn Resolver>,
    background: Handle,
    host: Arc<FairSemaphore>,
    lane: Arc<Lane>,
    tenant: Arc<Semaphore>,
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

impl Lookups {
    /// Creates the look-ups of the tenant with this lane: at most `at_once`, each with a permit of
    /// `host`.
    pub fn new(
        resolver: Arc<dyn Resolver>,
        background: Handle,
        host: Arc<FairSemaphore>,
        lane: Arc<Lane>,
        at_once: usize,
    ) -> Self {
        Self {
            resolver,
            background,
            host,
            lane,
            tenant: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Asks the resolver. The look-up keeps its permits until it ends, even if the caller is gone.
    async fn resolve(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let tenant = self.tenant.clone().acquire_owned().await;
        let tenant = tenant.map_err(io::Error::other)?;
        let host = self.host.acquire(&self.lane).await;
        let resolver = self.resolver.clone();
        self.background
            .spawn(async move {
                let _permits = (tenant, host);
                resolver.resolve(&name).await
            })
            .await
            .map_err(io::Error::other)?
    }
}

/// The addresses of `target` that lie within `reach`; at least one.
pub async fn addresses(
    target: &Target,
    reach: Reach,
    lookups: &Lookups,
) -> Result<Vec<SocketAddr>, SendError> {
    reachable(&target.host, target.origin.port(), reach, lookups).await
}

/// The addresses of a host and a port that lie within `reach`; at least one.
pub async fn reachable(
    host: &Host<String>,
    port: u16,
    reach: Reach,
    lookups: &Lookups,
) -> Result<Vec<SocketAddr>, SendError> {
    let found = match host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => {
            let found = lookups.resolve(name.clone()).await;
            found.map_err(|error| {
                tracing::debug!(host = %name, %error, "a name could not be resolved");
                SendError::Dns(name.clone())
            })?
        }
    };
    if found.is_empty() {
        return Err(SendError::Dns(host.to_string()));
    }
    let vetted: Vec<SocketAddr> = found
        .iter()
        .filter(|address| reach.covers(**address))
        .take(MOST_ADDRESSES)
        .map(|address| SocketAddr::new(address.to_canonical(), port))
        .collect();
    if vetted.is_empty() {
        return Err(SendError::Denied(refusal(host, reach, &found)));
    }
    Ok(vetted)
}

/// The error text. It must not contain `found`, the resolved addresses.
fn refusal(host: &Host<String>, reach: Reach, found: &[IpAddr]) -> String {
    let is_loopback = found.iter().all(|address| address.to_canonical().is_loopback());
    match reach {
        Reach::Loopback => {
            format!("secrets are sent over `https` only, and `{host}` is not a loopback address")
        }
        Reach::Public if is_loopback => format!(
            "`{host}` is a loopback address, which this host lets no plugin reach; for development, the operator can set \
             `allow_loopback = true` under `[http_client]` in the host's configuration"
        ),
        Reach::Public | Reach::PublicAndLoopback => format!(
            "`{host}` has no address that plugins may reach: private, link-local and reserved ones are refused whatever is \
             granted, and no setting of the host changes that"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::capability::http_client::grant;

    /// A resolver with a list of prepared answers.
    struct Answers(Mutex<Vec<Vec<&'static str>>>);

    #[async_trait]
    impl Resolver for Answers {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            let answer = self.0.lock().unwrap().remove(0);
            Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
        }
    }

    async fn resolved(
        url: &str,
        reach: Reach,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<Vec<String>, SendError> {
        let granted = [url.parse().unwrap()].into();
        let target = grant::target(url, &granted).unwrap();
        let (host, lane) = (FairSemaphore::oversubscribed(1), Arc::new(Lane::new(1)));
        let lookups = Lookups::new(resolver.clone(), Handle::current(), host, lane, 1);
        let found = addresses(&target, reach, &lookups).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    fn answers(answers: &[&[&'static str]]) -> Arc<dyn Resolver> {
        Arc::new(Answers(Mutex::new(
            answers.iter().map(|answer| answer.to_vec()).collect(),
        )))
    }

    #[tokio::test]
    async fn of_mixed_addresses_only_the_public_ones_are_dialled() {
        let resolver = answers(&[&["10.0.0.1", "8.8.8.8", "::1", "::ffff:1.1.1.1", "fd00:ec2::254"]]);
        let found = resolved("https://a.example", Reach::Public, &resolver)
            .await
            .unwrap();
        assert_eq!(found, ["8.8.8.8:443", "1.1.1.1:443"]);
    }

    #[tokio::test]
    async fn a_name_that_turns_private_is_refused_on_the_next_connection() {
        let resolver = answers(&[&["8.8.8.8"], &["169.254.169.254"]]);
        let first = resolved("http://a.example:81", Reach::Public, &resolver)
            .await
            .unwrap();
        assert_eq!(first, ["8.8.8.8:81"]);
        let second = resolved("http://a.example:81", Reach::Public, &resolver)
            .await
            .unwrap_err();
        assert!(
            matches!(&second, SendError::Denied(reason) if !reason.contains("169.254")),
            "{second}"
        );
    }

    /// Rows D1, D3 and D5: an address is not resolved, but checked all the same.
    #[tokio::test]
    async fn addresses_in_urls_pass_the_same_check() {
        let resolver = answers(&[]);
        for host in [
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::]",
            "[::1]",
            "0",
            "10.0.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[::a9fe:a9fe]",
            "[fd00:ec2::254]",
        ] {
            let error = resolved(&format!("http://{host}"), Reach::Public, &resolver).await;
            assert!(matches!(error, Err(SendError::Denied(_))), "{host}: {error:?}");
        }
        let found = resolved("http://[2606:4700:4700::1111]", Reach::Public, &resolver).await;
        assert_eq!(found.unwrap(), ["[2606:4700:4700::1111]:80"]);
    }

    #[tokio::test]
    async fn names_for_loopback_are_refused_by_their_address() {
        for host in ["localhost", "localhost.", "LOCALHOST"] {
            let error = resolved(&format!("http://{host}"), Reach::Public, &system()).await;
            assert!(
                matches!(error, Err(SendError::Denied(_) | SendError::Dns(_))),
                "{host}: {error:?}"
            );
        }
        let resolver = answers(&[&["8.8.8.8"]]);
        let error = resolved("http://a.example", Reach::Loopback, &resolver)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "secrets are sent over `https` only, and `a.example` is not a loopback address"
        );
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_not_resolved() {
        let error = resolved("http://a.example", Reach::Public, &answers(&[&[]]))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the name `a.example` could not be resolved");
    }

    fn system() -> Arc<dyn Resolver> {
        Arc::new(SystemResolver)
    }
}
