//! An HTTP client that opens a connection for each request, so that none is left open.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// Longer than any time limit of the host.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A client of a listener.
#[derive(Clone, Debug)]
pub struct Http {
    agent: Agent,
    base: String,
    headers: Vec<(String, String)>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Vec<u8>,
}

impl Http {
    /// Creates a client of the listener at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            agent: agent(TIMEOUT),
            base: format!("http://{address}"),
            headers: Vec::new(),
        }
    }

    /// Sets a header of every request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the credential of every request.
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {}", credential.trim()))
    }

    /// Sets the timeout of responses.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.agent = agent(timeout);
        self
    }

    /// A `GET`.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.send("GET", path, None)
    }

    /// A request with a JSON body.
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        self.send(
            method,
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    /// A `POST` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.json("POST", path, body)
    }

    /// A request.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match body {
            Some((content_type, bytes)) => self
                .agent
                .run(request.header("content-type", content_type).body(bytes)?),
            None => self.agent.run(request.body(())?),
        };
        let mut response = response.with_context(|| format!("{method} {path}"))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_vec()
            .with_context(|| format!("the body of {method} {path}"))?;
        Ok(Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        })
    }
}

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .timeout_global(Some(timeout))
        .build()
        .new_agent()
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn body(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} with no JSON: {}", self.status, self.text()))
    }

    /// A header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The status, and the code if it is a problem: `504 plugin-cpu`.
    pub fn seen(&self) -> String {
        let code = self
            .body()
            .ok()
            .and_then(|body| body["code"].as_str().map(str::to_owned));
        match code {
            Some(code) if self.status >= 400 => format!("{} {code}", self.status),
            _ => self.status.to_string(),
        }
    }

    /// Returns the reply if it is the wanted one: `504 plugin-cpu`, `200`, or one of several,
    /// `429 rate-limited|503 overloaded`.
    pub fn is(self, wanted: &str) -> Result<Self> {
        if wanted.split('|').any(|wanted| wanted == self.seen()) {
            return Ok(self);
        }
        let mut text = self.text();
        text.truncate(text.floor_char_boundary(300));
        bail!("{} where {wanted} was wanted: {text}", self.seen())
    }

    /// The JSON body of a successful reply.
    pub fn ok(self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.seen(),
            self.text()
        );
        if self.body.is_empty() {
            Ok(Value::Null)
        } else {
            self.body()
        }
    }
}
