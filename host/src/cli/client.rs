//! The admin API as a client sees it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};
use url::{Host, Url};

use super::CliError;
use super::error::Problem;

/// Uploads include compiling, which takes its time.
const TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// No answer is larger; the limit guards this process, not the host.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

const DEFAULT_TOKEN_FILE: &str = "mortise-data/operator.token";

/// Which host, and as whom.
#[derive(Debug, Args)]
pub struct Connection {
    /// Address of the host's admin listener
    #[arg(
        long,
        global = true,
        env = "MORTISE_HOST",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    host: Url,
    /// Token for the admin API; other users of this machine can see it, so prefer the variable or a file
    #[arg(
        long,
        global = true,
        env = "MORTISE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<SecretString>,
    /// File with the token; ./mortise-data/operator.token for a host on this machine
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A client of one host.
pub struct Client {
    agent: Agent,
    host: Url,
    token: Option<SecretString>,
}

impl Client {
    /// A client that has not talked to anybody yet.
    pub fn connect(connection: &Connection) -> Result<Self, CliError> {
        let host = connection.host.clone();
        if !matches!(host.scheme(), "http" | "https") || host.host().is_none() {
            return Err(CliError::failed(
                format!("`{host}` is not the address of a host"),
                "write it as http://127.0.0.1:8081",
            ));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            // A redirect would carry the token elsewhere.
            .max_redirects(0)
            .user_agent(concat!("mortise/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            token: token(connection)?,
            host,
        })
    }

    /// Reads a resource. `path` is below `/api/v1`, one segment each.
    pub fn get(&self, path: &[&str]) -> Result<Value, CliError> {
        self.request(Method::GET, self.url(path), None)
    }

    /// Reads all pages of a list.
    pub fn list(&self, path: &[&str]) -> Result<Vec<Value>, CliError> {
        self.list_where(path, &[])
    }

    /// Reads all pages of a list of what `filter` selects.
    pub fn list_where(&self, path: &[&str], filter: &[(&str, &str)]) -> Result<Vec<Value>, CliError> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let cursor = next.as_deref().map(|next| ("cursor", next));
            let query: Vec<_> = filter.iter().copied().chain(cursor).collect();
            let (page, following) = self.page(path, &query)?;
            items.extend(page);
            // A cursor that does not move would never end.
            if following.is_none() || following == next {
                return Ok(items);
            }
            next = following;
        }
    }

    /// Reads one page of a list, and where the next one begins.
    pub fn page(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<(Vec<Value>, Option<String>), CliError> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut page = self.request(Method::GET, url, None)?;
        match page["items"].take() {
            Value::Array(items) => Ok((items, page["next"].as_str().map(str::to_owned))),
            _ => Err(self.not_understood("a list without `items`")),
        }
    }

    /// Creates something.
    pub fn post(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.request(
            Method::POST,
            self.url(path),
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    /// Sets something.
    pub fn put(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.request(
            Method::PUT,
            self.url(path),
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    /// Changes members of something.
    pub fn patch(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.request(
            Method::PATCH,
            self.url(path),
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    /// Removes something.
    pub fn delete(&self, path: &[&str]) -> Result<Value, CliError> {
        self.request(Method::DELETE, self.url(path), None)
    }

    /// Deletes something at once and for good.
    pub fn purge(&self, path: &[&str]) -> Result<Value, CliError> {
        let mut url = self.url(path);
        url.query_pairs_mut().append_pair("purge", "true");
        self.request(Method::DELETE, url, None)
    }

    /// Uploads a component.
    pub fn upload(&self, path: &[&str], component: &[u8]) -> Result<Value, CliError> {
        self.request(
            Method::POST,
            self.url(path),
            Some(("application/wasm", component)),
        )
    }

    /// Opens a stream of server-sent events.
    pub fn events(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<impl std::io::Read + use<>, CliError> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        let response = self.send(Method::GET, &url, Some("text/event-stream"), None, None)?;
        if response.status().is_success() {
            Ok(response.into_body().into_reader())
        } else {
            Err(self.refusal(response))
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.host.clone();
        // Segments are encoded, so that a name with `/` or `..` stays one name. It fails for URLs that cannot be a
        // base only, and those have no host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn request(&self, method: Method, url: Url, body: Option<(&str, &[u8])>) -> Result<Value, CliError> {
        let mut response = self.send(method, &url, None, body, Some(TIMEOUT))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let bytes = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.not_understood(error))
    }

    fn send(
        &self,
        method: Method,
        url: &Url,
        accept: Option<&str>,
        body: Option<(&str, &[u8])>,
        timeout: Option<Duration>,
    ) -> Result<Response<Body>, CliError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
        }
        request = request.header("accept", accept.unwrap_or("application/json"));
        let unusable = |error: ureq::http::Error| {
            CliError::failed(
                format!("the request cannot be made: {error}"),
                "the token holds an odd character",
            )
        };
        let answer = if let Some((content_type, bytes)) = body {
            let request = request
                .header("content-type", content_type)
                .body(bytes)
                .map_err(unusable)?;
            self.agent.run(
                self.agent
                    .configure_request(request)
                    .timeout_global(timeout)
                    .build(),
            )
        } else {
            let request = request.body(()).map_err(unusable)?;
            self.agent.run(
                self.agent
                    .configure_request(request)
                    .timeout_global(timeout)
                    .build(),
            )
        };
        answer.map_err(|error| self.unreachable(&error))
    }

    fn refusal(&self, mut response: Response<Body>) -> CliError {
        let status = response.status();
        match response.body_mut().read_json::<Problem>() {
            Ok(problem) if !problem.code.is_empty() => CliError::Problem(Box::new(problem)),
            _ => self.not_understood(format_args!("status {status} without a problem")),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> CliError {
        CliError::Unreachable {
            host: self.host.to_string(),
            problem: error.to_string(),
        }
    }

    fn not_understood(&self, problem: impl std::fmt::Display) -> CliError {
        CliError::Answer {
            host: self.host.to_string(),
            problem: problem.to_string(),
        }
    }
}

fn token(connection: &Connection) -> Result<Option<SecretString>, CliError> {
    if let Some(token) = &connection.token {
        return Ok(Some(token.clone()));
    }
    if let Some(path) = &connection.token_file {
        return read_token(path).map(Some);
    }
    // The operator's token of this machine is not for other machines.
    let default = Path::new(DEFAULT_TOKEN_FILE);
    if is_loopback(&connection.host) && default.exists() {
        read_token(default).map(Some)
    } else {
        Ok(None)
    }
}

fn read_token(path: &Path) -> Result<SecretString, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(error) => Err(CliError::file("read", path, &error)),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(host: &str) -> Connection {
        Connection {
            host: host.parse().unwrap(),
            token: Some(SecretString::from("t")),
            token_file: None,
        }
    }

    #[test]
    fn a_name_stays_one_segment() {
        let client = Client::connect(&connection("http://127.0.0.1:8081")).unwrap();
        let url = client.url(&["tenants", "../a/b?c", "plugins"]);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:8081/api/v1/tenants/..%2Fa%2Fb%3Fc/plugins"
        );
    }

    #[test]
    fn a_host_may_stand_below_a_path() {
        let client = Client::connect(&connection("https://example.com/mortise/")).unwrap();
        assert_eq!(
            client.url(&["plans"]).as_str(),
            "https://example.com/mortise/api/v1/plans"
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        assert!(Client::connect(&connection("ftp://example.com")).is_err());
        assert!(Client::connect(&connection("localhost:8081")).is_err());
    }

    #[test]
    fn the_operator_s_token_stays_on_this_machine() {
        for (url, wanted) in [
            ("http://127.0.0.1:8081", true),
            ("http://localhost:8081", true),
            ("http://[::1]:8081", true),
            ("https://example.com", false),
            ("https://127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), wanted, "{url}");
        }
    }

    #[test]
    fn nobody_listening_is_unreachable_with_a_hint() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let client = Client::connect(&connection(&format!("http://{free}"))).unwrap();
        let error = client.get(&["tenants"]).unwrap_err();
        assert!(matches!(error, CliError::Unreachable { .. }), "{error}");
        assert!(error.hint().unwrap().contains("mortise serve"));
    }
}
