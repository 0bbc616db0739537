//! Requests that the host itself sends for a tenant, such as deliveries of webhooks.
//!
//! They pass the same checks as requests of plugins: the name is resolved once, only allowed
//! addresses are dialled, redirects are not followed, and what the server sends is bounded. Plain
//! text goes to loopback only, and only if the operator allows that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address::Reach;
use super::connect::connect;
use super::connection::Line;
use super::error::{Phase, SendError};
use super::grant::{self, Target};
use super::resolve::addresses;
use super::retry::asked_wait;
use super::work::Work;
use super::{HttpClients, TenantClient, response};
use crate::domain::id::TenantId;
use crate::domain::origin::{Origin, Scheme};

/// CPU time that one request may take, for TLS and for parsing the response.
const CPU: Duration = Duration::from_millis(500);

/// A `POST` of the host.
#[derive(Debug)]
pub struct HostRequest {
    /// Where it goes.
    pub url: String,
    /// Headers beside `host`, `content-length` and `user-agent`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
    /// The longest time until the response is complete.
    pub timeout: Duration,
    /// The most bytes of the response body that are read.
    pub most: usize,
}

/// The response to a request of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostResponse {
    /// Its status.
    pub status: u16,
    /// The wait that the server asks for.
    pub retry_after: Option<Duration>,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// A request that is allowed.
struct Checked {
    target: Target,
    reach: Reach,
    message: Request<Full<Bytes>>,
}

impl HttpClients {
    /// Checks a URL for requests of the host, without resolving its name. The error is for people.
    pub fn check_host_url(&self, url: &str) -> Result<(), String> {
        self.host_target(url).map(drop).map_err(|error| error.to_string())
    }

    /// Sends a request for a tenant. The error says why there is no response. It names no internal
    /// addresses.
    pub async fn send_for_host(
        self: &Arc<Self>,
        tenant: TenantId,
        request: HostRequest,
    ) -> Result<HostResponse, String> {
        let shared = self.tenant(tenant);
        let work = Work::new(Arc::default(), CPU, self.background.clone(), shared.lane.clone());
        let (clients, work) = (self.clone(), Arc::new(work));
        let of_task = work.clone();
        let _under_way = self.requests.hold();
        let task = work.spawn(async move { clients.exchange(&shared, &of_task, request).await });
        match task.await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(error) => {
                tracing::error!(%error, "a request of the host failed");
                Err("the host failed".to_owned())
            }
        }
    }

    async fn exchange(
        &self,
        shared: &TenantClient,
        work: &Work,
        request: HostRequest,
    ) -> Result<HostResponse, SendError> {
        let began = Instant::now();
        let deadline = began + request.timeout;
        let most = request.most;
        let checked = self.checked(request)?;
        let timed_out = |_| SendError::Timeout {
            phase: Phase::Whole,
            after: began.elapsed(),
        };
        let opening = async {
            let addresses = addresses(&checked.target, checked.reach, &shared.lookups).await?;
            let held = self.connections.hold();
            connect(&checked.target, &addresses, &shared.tls, work, held, deadline).await
        };
        let mut connection = timeout_at(deadline, opening).await.map_err(timed_out)??;
        let (sender, line) = (&mut connection.sender, &mut connection.line);
        line.allowance().begin_response();
        let sending = line.wait_for(work, sender.send_request(checked.message));
        let head = timeout_at(deadline, sending).await.map_err(timed_out)??;
        let head = head.map_err(|error| response::protocol(&error))?;
        let (head, incoming) = head.into_parts();
        if head.status.is_informational() {
            let why = "the server switched to another protocol";
            return Err(SendError::Protocol(why.to_owned()));
        }
        // The status says how the request ended. Of the body, the part that comes in time is kept.
        let mut body = Vec::new();
        let reading = beginning_of(incoming, line, work, most, &mut body);
        match timeout_at(deadline, reading).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the body of a response was not read to its end"),
        }
        Ok(HostResponse {
            status: head.status.as_u16(),
            retry_after: asked_wait(&head.headers, self.clock.now()),
            body,
        })
    }

    fn checked(&self, request: HostRequest) -> Result<Checked, SendError> {
        let (target, reach) = self.host_target(&request.url)?;
        let origin = target.origin.to_string();
        let authority = origin
            .split_once("://")
            .map_or(origin.as_str(), |(_, authority)| authority);
        let host = HeaderValue::from_str(authority)
            .map_err(|_| SendError::InvalidRequest(format!("`{authority}` is not the name of a host")))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host);
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("mortise/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(request.body.len()));
        headers.extend(request.headers);
        let mut message = Request::new(Full::new(request.body));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = target.path.clone().into();
        *message.headers_mut() = headers;
        Ok(Checked {
            target,
            reach,
            message,
        })
    }

    /// The target of a URL and the addresses that it may have.
    fn host_target(&self, url: &str) -> Result<(Target, Reach), SendError> {
        let invalid = |why: String| SendError::InvalidRequest(why);
        let parsed = Url::parse(url).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        let origin = Origin::of(&parsed).map_err(|error| invalid(error.to_string()))?;
        let target = grant::target(url, &BTreeSet::from([origin]))?;
        let reach = match (target.origin.scheme(), self.config.allow_loopback) {
            (Scheme::Https, false) => Reach::Public,
            (Scheme::Https, true) => Reach::PublicAndLoopback,
            (Scheme::Http, true) => Reach::Loopback,
            (Scheme::Http, false) => {
                let why = "the URL must begin with `https://`";
                return Err(SendError::Denied(why.to_owned()));
            }
        };
        Ok((target, reach))
    }
}

/// Reads up to `most` bytes of a body.
async fn beginning_of(
    mut incoming: Incoming,
    line: &mut Line,
    work: &Work,
    most: usize,
    body: &mut Vec<u8>,
) -> Result<(), SendError> {
    line.allowance().begin_body();
    while body.len() < most {
        let Some(frame) = line.wait_for(work, incoming.frame()).await? else {
            return Ok(());
        };
        let Ok(data) = frame.map_err(|error| response::protocol(&error))?.into_data() else {
            continue;
        };
        line.allowance().received(data.len())?;
        let left = most.saturating_sub(body.len());
        body.extend(data.iter().take(left));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::super::HttpClientConfig;
    use super::*;
    use crate::domain::clock::SystemClock;

    fn clients(allow_loopback: bool) -> HttpClients {
        let config = HttpClientConfig {
            allow_loopback,
            ..HttpClientConfig::default()
        };
        HttpClients::new(config, Arc::new(SystemClock), Handle::current()).unwrap()
    }

    #[tokio::test]
    async fn plain_text_is_for_loopback_and_only_if_the_operator_allows_it() {
        let closed = clients(false);
        assert!(closed.check_host_url("https://hooks.example.com/a?b=c").is_ok());
        for wrong in [
            "http://hooks.example.com/",
            "http://127.0.0.1:8080/",
            "ftp://hooks.example.com/",
            "https://user@hooks.example.com/",
            "https://hooks.example.com/a b",
            "hooks.example.com",
            "",
        ] {
            assert!(closed.check_host_url(wrong).is_err(), "{wrong}");
        }
        assert!(clients(true).check_host_url("http://127.0.0.1:8080/").is_ok());
    }

    #[tokio::test]
    async fn private_addresses_are_refused_without_being_named() {
        for url in [
            "https://10.0.0.1/",
            "https://[fd00:ec2::254]/",
            "https://169.254.169.254/",
        ] {
            let request = HostRequest {
                url: url.to_owned(),
                headers: Vec::new(),
                body: Bytes::new(),
                timeout: Duration::from_secs(10),
                most: 1,
            };
            let sent = Arc::new(clients(true))
                .send_for_host(TenantId::generate(), request)
                .await;
            let error = sent.unwrap_err();
            assert!(error.contains("has no address that plugins may reach"), "{error}");
        }
    }
}
