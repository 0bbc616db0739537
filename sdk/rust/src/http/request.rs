//! Outbound requests: their builder and pending responses.

use std::time::Duration;

use serde::Serialize;

use super::{Error, Response};
use crate::Content;
use crate::host::{Backend, Host};

/// The message of a request, which the test host passes to the test.
///
/// ```
/// use mortise_sdk::http;
///
/// assert_eq!(http::get("https://api.example/").message().method, "GET");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The method, in upper case.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// Headers with a secret: the header's name, the prefix, and the name of the secret.
    pub secret_headers: Vec<(String, String, String)>,
    /// The body.
    pub body: Option<Content>,
    /// The time for all attempts together.
    pub timeout_ms: Option<u32>,
    /// The number of attempts, the first included, and the first pause in milliseconds.
    pub retry: Option<(u32, u32)>,
}

/// A request builder. [`send`](Self::send) and [`start`](Self::start) report its errors.
///
/// ```
/// use mortise_sdk::http;
///
/// let request = http::put("https://api.example/items/7").header("if-match", "3").body("new text");
/// assert_eq!(request.message().headers, [("if-match".to_owned(), "3".to_owned())]);
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    message: Message,
    mistake: Option<String>,
}

/// A running request, so that several can run at once. Dropping it cancels the request.
///
/// ```
/// # let host = mortise_sdk::testing::Host::builder();
/// # let _host = host.http(|_| Ok(mortise_sdk::http::Response::new(200))).start();
/// use mortise_sdk::http;
///
/// let first = http::get("https://a.example/").start()?;
/// let second = http::get("https://b.example/").start()?;
/// assert_eq!((first.wait()?.status(), second.wait()?.status()), (200, 200));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Debug)]
pub struct Pending {
    handle: <Host as Backend>::Pending,
}

impl RequestBuilder {
    pub(super) fn new(method: &str, url: String) -> Self {
        let message = Message {
            method: method.to_ascii_uppercase(),
            url,
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
            timeout_ms: None,
            retry: None,
        };
        RequestBuilder {
            message,
            mistake: None,
        }
    }

    /// Adds a header.
    ///
    /// ```
    /// let request = mortise_sdk::http::get("https://api.example/").header("Accept", "text/csv");
    /// assert_eq!(request.message().headers[0].0, "accept");
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.message
            .headers
            .push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Adds `authorization: Bearer …` with a token of the plugin. If the token is a secret of the
    /// tenant, use [`secret_header`](Self::secret_header), which keeps it out of the plugin.
    ///
    /// ```
    /// let request = mortise_sdk::http::get("https://api.example/").bearer("abc");
    /// assert_eq!(request.message().headers[0].1, "Bearer abc");
    /// ```
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a header with a prefix and the value of a secret. The host adds the value, so the
    /// plugin never sees it. The host sends it only to the origins of the secret (`[secrets] use`
    /// of the manifest).
    ///
    /// ```
    /// let request = mortise_sdk::http::get("https://api.example/").secret_header("x-api-key", "", "api_key");
    /// assert_eq!(request.message().secret_headers[0].2, "api_key");
    /// ```
    #[must_use]
    pub fn secret_header(mut self, header: &str, prefix: &str, secret: &str) -> Self {
        self.message
            .secret_headers
            .push((header.to_ascii_lowercase(), prefix.to_owned(), secret.to_owned()));
        self
    }

    /// Adds parameters to the query string: a list of pairs, or a struct.
    ///
    /// ```
    /// let request = mortise_sdk::http::get("https://api.example/items").query(&[("name", "a b")]);
    /// assert_eq!(request.message().url, "https://api.example/items?name=a+b");
    /// ```
    #[must_use]
    pub fn query(mut self, parameters: &(impl Serialize + ?Sized)) -> Self {
        match serde_urlencoded::to_string(parameters) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                self.message
                    .url
                    .push(if self.message.url.contains('?') { '&' } else { '?' });
                self.message.url.push_str(&text);
            }
            Err(error) => self.mistake = Some(format!("the query cannot be written: {error}")),
        }
        self
    }

    /// Sets the body: `&str`, `String` or `Vec<u8>`.
    ///
    /// ```
    /// let request = mortise_sdk::http::post("https://api.example/").body("hello");
    /// assert_eq!(request.message().body, Some("hello".into()));
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Content>) -> Self {
        self.message.body = Some(body.into());
        self
    }

    /// Sets the body to JSON, with its content type.
    ///
    /// ```
    /// let request = mortise_sdk::http::post("https://api.example/").json(&[1, 2]);
    /// assert_eq!(request.message().body, Some("[1,2]".into()));
    /// ```
    #[must_use]
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.header("content-type", "application/json").body(text),
            Err(error) => {
                self.mistake = Some(format!("the body cannot be written as JSON: {error}"));
                self
            }
        }
    }

    /// Limits the total time of all attempts. The plan and the remaining time of the invocation
    /// limit it as well.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let request = mortise_sdk::http::get("https://api.example/").timeout(Duration::from_secs(2));
    /// assert_eq!(request.message().timeout_ms, Some(2_000));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.message.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// Retries after a connection failure, a timeout or one of the statuses 429, 502, 503 and 504,
    /// with at most `attempts` attempts and a pause that doubles. Requests with a method that is
    /// not idempotent are retried only after a connection failure.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let request = mortise_sdk::http::get("https://api.example/").retry(3, Duration::from_millis(100));
    /// assert_eq!(request.message().retry, Some((3, 100)));
    /// ```
    #[must_use]
    pub fn retry(mut self, attempts: u32, first_pause: Duration) -> Self {
        self.message.retry = Some((attempts, milliseconds(first_pause)));
        self
    }

    /// The message as built so far.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::get("https://api.example/").message().body, None);
    /// ```
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Sends the request and waits for the response. An error status is a response, not an error.
    ///
    /// ```
    /// # use mortise_sdk::{http, testing};
    /// # let _host = testing::Host::builder().http(|_| Ok(http::Response::new(404))).start();
    /// assert_eq!(http::get("https://api.example/").send()?.status(), 404);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn send(self) -> Result<Response, Error> {
        Host::send(self.checked()?)
    }

    /// Sends the request without waiting, so that several can run at once.
    ///
    /// ```
    /// # use mortise_sdk::{http, testing};
    /// # let _host = testing::Host::builder().http(|_| Ok(http::Response::new(200))).start();
    /// let pending = http::get("https://api.example/").start()?;
    /// assert_eq!(pending.wait()?.status(), 200);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn start(self) -> Result<Pending, Error> {
        Ok(Pending {
            handle: Host::start(self.checked()?)?,
        })
    }

    fn checked(self) -> Result<Message, Error> {
        match self.mistake {
            None => Ok(self.message),
            Some(mistake) => Err(Error::InvalidRequest(mistake)),
        }
    }
}

impl Pending {
    /// Waits for the response.
    ///
    /// ```
    /// # use mortise_sdk::{http, testing};
    /// # let _host = testing::Host::builder().http(|_| Err(http::Error::Timeout)).start();
    /// assert_eq!(http::get("https://api.example/").start()?.wait(), Err(http::Error::Timeout));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn wait(self) -> Result<Response, Error> {
        Host::wait(&self.handle)
    }
}

fn milliseconds(duration: Duration) -> u32 {
    duration.as_millis().try_into().unwrap_or(u32::MAX)
}
