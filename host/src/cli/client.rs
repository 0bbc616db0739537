//! A client of the admin API, and the options that select the host and the token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Args};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};
use ureq::{Agent, Body};
use url::{Host, Url};

use super::CliError;
use super::error::{Problem, without_position};
use super::transport::ReadRefusals;
use crate::wire::page::Items;
use crate::wire::versions::UploadedVersion;

/// An upload includes the compilation, which can take minutes.
const TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest accepted response. The limit protects the memory of this process.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// The most items of a page.
const PAGE: usize = 200;

const DEFAULT_TOKEN_FILE: &str = "mortise-data/operator.token";

const DEFAULT_HOST: &str = "http://127.0.0.1:8081";

// These variables are read here and not by clap, whose usage lines would otherwise list them as
// arguments of every command.
const HOST_VARIABLE: &str = "MORTISE_HOST";
const TOKEN_VARIABLE: &str = "MORTISE_TOKEN";

/// The host and the token.
#[derive(Clone, Debug, Default, Args)]
pub struct Connection {
    /// Address of the host's admin listener [env: MORTISE_HOST] [default: http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL", help_heading = HEADING)]
    host: Option<String>,
    /// Token for the admin API; other users of this machine can see it, so prefer the variable or a
    /// file [env: MORTISE_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = HEADING, conflicts_with = "token_file")]
    token: Option<SecretString>,
    /// File with the token; ./mortise-data/operator.token for a host on this machine
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    token_file: Option<PathBuf>,
}

/// Heading of the connection options in the help.
const HEADING: &str = "Connection";

impl Connection {
    /// The connection options, hidden, for commands that do not use them. An argument of a command
    /// overrides a global one with the same id.
    pub fn hidden() -> [Arg; 3] {
        [
            Arg::new("host").long("host"),
            Arg::new("token")
                .long("token")
                .value_parser(clap::value_parser!(SecretString)),
            Arg::new("token_file")
                .long("token-file")
                .value_parser(clap::value_parser!(PathBuf)),
        ]
        .map(|argument| argument.hide(true))
    }

    /// Whether any of the options was given.
    pub fn is_given(&self) -> bool {
        self.host.is_some() || self.token.is_some() || self.token_file.is_some()
    }

    /// The URL of the host. Without a scheme it is plain HTTP, like the admin listener.
    fn address(&self) -> Result<Url, CliError> {
        let text = match &self.host {
            Some(host) => host.clone(),
            None => variable(HOST_VARIABLE).unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        };
        let with_scheme = match text.contains("://") {
            true => text.clone(),
            false => format!("http://{text}"),
        };
        let wrong = |why: String| {
            CliError::failed(
                format!("`{text}` is not the address of a host{why}"),
                "write it as http://127.0.0.1:8081",
            )
        };
        let url = with_scheme
            .parse::<Url>()
            .map_err(|error| wrong(format!(": {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong(String::new()));
        }
        Ok(url)
    }

    fn token(&self, host: &Url) -> Result<Option<SecretString>, CliError> {
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        if let Some(token) = variable(TOKEN_VARIABLE) {
            return Ok(Some(SecretString::from(token)));
        }
        // The operator's token in the data folder is only sent to this machine.
        let default = Path::new(DEFAULT_TOKEN_FILE);
        if is_loopback(host) && default.exists() {
            read_token(default).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A client of one host.
pub struct Client {
    agent: Agent,
    host: Url,
    token: Option<SecretString>,
}

impl Client {
    /// Creates a client. No request is sent yet.
    pub fn connect(connection: &Connection) -> Result<Self, CliError> {
        let host = connection.address()?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            // A redirect would send the token to another host.
            .max_redirects(0)
            .user_agent(concat!("mortise/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector = DefaultConnector::new().chain(ReadRefusals);
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            token: connection.token(&host)?,
            host,
        })
    }

    /// Reads a resource. `path` has the segments below `/api/v1`.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, CliError> {
        self.request(Method::GET, self.url(path), None)
    }

    /// Reads a resource with query parameters.
    pub fn get_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.request(Method::GET, self.url_where(path, query), None)
    }

    /// Reads all pages of a list.
    pub fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, CliError> {
        self.list_where(path, &[])
    }

    /// Reads all pages of a list with a filter.
    pub fn list_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>, CliError> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let cursor = next.as_deref().map(|next| ("cursor", next));
            let query: Vec<_> = filter.iter().copied().chain(cursor).collect();
            let page: Items<T> = self.get_where(path, &query)?;
            items.extend(page.items);
            // A repeated cursor would cause an endless loop.
            if page.next.is_none() || page.next == next {
                return Ok(items);
            }
            next = page.next;
        }
    }

    /// Reads the first `most` items of a list with a filter.
    pub fn first<T: DeserializeOwned>(
        &self,
        path: &[&str],
        filter: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<T>, CliError> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        while items.len() < most {
            let limit = (most - items.len()).min(PAGE).to_string();
            let cursor = next.as_deref().map(|next| ("cursor", next));
            let query: Vec<_> = filter
                .iter()
                .copied()
                .chain([("limit", limit.as_str())])
                .chain(cursor)
                .collect();
            let page: Items<T> = self.get_where(path, &query)?;
            items.extend(page.items);
            if page.next.is_none() || page.next == next {
                break;
            }
            next = page.next;
        }
        items.truncate(most);
        Ok(items)
    }

    /// Sends a POST request.
    pub fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, CliError> {
        self.send_json(Method::POST, path, body)
    }

    /// Sends a PUT request.
    pub fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, CliError> {
        self.send_json(Method::PUT, path, body)
    }

    /// Sends a PATCH request.
    pub fn patch<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, CliError> {
        self.send_json(Method::PATCH, path, body)
    }

    /// Sends a DELETE request.
    pub fn delete(&self, path: &[&str]) -> Result<(), CliError> {
        let _: IgnoredAny = self.request(Method::DELETE, self.url(path), None)?;
        Ok(())
    }

    /// Deletes a resource permanently.
    pub fn purge(&self, path: &[&str]) -> Result<(), CliError> {
        let mut url = self.url(path);
        url.query_pairs_mut().append_pair("purge", "true");
        let _: IgnoredAny = self.request(Method::DELETE, url, None)?;
        Ok(())
    }

    /// Sends a DELETE request with query parameters, and reads the response.
    pub fn delete_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.request(Method::DELETE, self.url_where(path, query), None)
    }

    /// Sends a POST request without a body, with query parameters.
    pub fn post_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.request(Method::POST, self.url_where(path, query), None)
    }

    /// Opens a response that may be large, to be read piece by piece.
    pub fn download(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<impl std::io::Read + use<>, CliError> {
        let url = self.url_where(path, query);
        let response = self.send(Method::GET, &url, &[], None, None)?;
        if response.status().is_success() {
            Ok(response.into_body().into_reader())
        } else {
            Err(self.refusal(response))
        }
    }

    /// Uploads a component. Returns the version and whether it is new.
    pub fn upload(&self, path: &[&str], component: &[u8]) -> Result<(UploadedVersion, bool), CliError> {
        let body = Some(("application/wasm", component));
        let (status, version) = self.answer(Method::POST, self.url(path), body)?;
        Ok((version, status == StatusCode::CREATED))
    }

    /// Opens a stream of server-sent events, after the event `last_event` if there is one.
    pub fn events(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        last_event: Option<&str>,
    ) -> Result<impl std::io::Read + use<>, CliError> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last_event.map(|id| ("last-event-id", id)));
        let response = self.send(Method::GET, &url, &headers, None, None)?;
        if response.status().is_success() {
            Ok(response.into_body().into_reader())
        } else {
            Err(self.refusal(response))
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.host.clone();
        // Segments are encoded, so that a name with `/` or `..` stays one segment. This fails only
        // for URLs that cannot be a base, and those have no host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn url_where(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let body = serde_json::to_vec(body).map_err(|error| CliError::failed(error.to_string(), ""))?;
        self.request(method, self.url(path), Some(("application/json", &body)))
    }

    fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<(&str, &[u8])>,
    ) -> Result<T, CliError> {
        self.answer(method, url, body).map(|(_, value)| value)
    }

    fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<(&str, &[u8])>,
    ) -> Result<(StatusCode, T), CliError> {
        let mut response = self.send(
            method,
            &url,
            &[("accept", "application/json")],
            body,
            Some(TIMEOUT),
        )?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(response));
        }
        let bytes = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let value = serde_json::from_slice(text).map_err(|error| {
            let problem = without_position(&error);
            match error.is_data() {
                true => CliError::OtherVersion {
                    host: self.host.to_string(),
                    problem,
                },
                false => self.not_understood(format_args!("it is not JSON: {problem}")),
            }
        })?;
        Ok((status, value))
    }

    fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
        timeout: Option<Duration>,
    ) -> Result<Response<Body>, CliError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unusable = |error: ureq::http::Error| {
            CliError::failed(
                format!("the request cannot be made: {error}"),
                "the token contains an invalid character",
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
        let text = response.body_mut().read_to_vec().unwrap_or_default();
        match Problem::read(&text) {
            Some(_) if status == StatusCode::NOT_FOUND && !self.is_admin_api() => {
                self.not_understood("this is another listener of a Mortise host, not the admin one")
            }
            Some(problem) => CliError::Problem(Box::new(problem)),
            None => self.not_understood(format_args!("status {status} without a problem")),
        }
    }

    /// Whether the host answers like the admin API. The public listener answers 404.
    fn is_admin_api(&self) -> bool {
        let headers = [("accept", "application/json")];
        let answer = self.send(Method::GET, &self.url(&["whoami"]), &headers, None, Some(TIMEOUT));
        answer.is_ok_and(|answer| answer.status() != StatusCode::NOT_FOUND)
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
    use std::io::{BufRead as _, Write as _};

    use super::*;

    fn connection(host: &str) -> Connection {
        Connection {
            host: Some(host.to_owned()),
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
    fn what_is_no_host_is_refused_with_what_to_write() {
        for text in ["ftp://example.com", "http://", "not a host", "http://x:99999"] {
            let error = Client::connect(&connection(text)).err().unwrap();
            assert!(
                error.to_string().starts_with(&format!("`{text}` is not")),
                "{error}"
            );
            assert!(error.hint().unwrap().contains("http://127.0.0.1:8081"));
        }
    }

    #[test]
    fn a_host_without_a_scheme_speaks_plain_http() {
        for (text, wanted) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/"),
            ("localhost:8081", "http://localhost:8081/"),
            ("[::1]:8081", "http://[::1]:8081/"),
        ] {
            assert_eq!(connection(text).address().unwrap().as_str(), wanted);
        }
    }

    #[test]
    fn an_answer_of_another_form_is_of_another_version() {
        let client = Client::connect(&connection(&format!("http://{}", answering("200 OK", "[7]")))).unwrap();
        let error = client.get::<Items<String>>(&["plans"]).unwrap_err();
        assert!(matches!(error, CliError::OtherVersion { .. }), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("another version") && !hint.contains("--host"),
            "{hint}"
        );
    }

    /// A server that refuses with the head of a request, whatever follows.
    fn refusing() -> std::net::SocketAddr {
        let body = r#"{"code":"insufficient-scope","detail":"this needs the role developer"}"#;
        answering("403 Forbidden", body)
    }

    /// A server that answers the head of a request and closes the connection.
    fn answering(status: &'static str, body: &'static str) -> std::net::SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = std::io::BufReader::new(stream.unwrap());
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
                );
                // In one piece: closing a socket with unread data drops what it has not sent yet.
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_refusal_is_read_although_the_body_was_not_taken() {
        let client = Client::connect(&connection(&format!("http://{}", refusing()))).unwrap();
        let component = vec![0; 32 << 20];
        let error = client.upload(&["tenants"], &component).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this needs the role developer (insufficient-scope)"
        );
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
        let error = client.get::<IgnoredAny>(&["tenants"]).unwrap_err();
        assert!(matches!(error, CliError::Unreachable { .. }), "{error}");
        assert!(error.hint().unwrap().contains("mortise serve"));
    }
}
