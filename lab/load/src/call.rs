//! The request that a load repeats.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

/// One request, to be sent many times.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) address: SocketAddr,
    method: Method,
    /// Its URIs, which are used in turn.
    uris: Vec<Uri>,
    next: Arc<AtomicUsize>,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A `GET` of a path.
    ///
    /// # Panics
    ///
    /// If the path is invalid.
    pub fn get(address: SocketAddr, path: &str) -> Self {
        Self::new(address, Method::GET, path)
    }

    /// A `POST` to a path.
    ///
    /// # Panics
    ///
    /// If the path is invalid.
    pub fn post(address: SocketAddr, path: &str) -> Self {
        Self::new(address, Method::POST, path)
    }

    fn new(address: SocketAddr, method: Method, path: &str) -> Self {
        let host = HeaderValue::from_str(&address.to_string());
        let headers = host.map(|host| HeaderMap::from_iter([(HOST, host)]));
        Self {
            address,
            method,
            uris: vec![uri(path)],
            next: Arc::default(),
            headers: headers.unwrap_or_default(),
            body: Bytes::new(),
        }
    }

    /// Replaces the path by these paths, which are used in turn.
    ///
    /// # Panics
    ///
    /// If there is none, or one of them is not a path.
    #[must_use]
    pub fn paths(mut self, paths: &[String]) -> Self {
        assert!(!paths.is_empty(), "a call goes somewhere");
        self.uris = paths.iter().map(|path| uri(path)).collect();
        self
    }

    /// Sets a header, which replaces one with the same name.
    ///
    /// # Panics
    ///
    /// If the name or the value is invalid.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.uris.len();
        *request.uri_mut() = self.uris[turn].clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn uri(path: &str) -> Uri {
    path.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_turns() {
        let paths = ["/a", "/b"].map(str::to_owned);
        let call = Call::get(SocketAddr::from(([127, 0, 0, 1], 80)), "/").paths(&paths);
        let asked: Vec<String> = (0..3).map(|_| call.request().uri().to_string()).collect();
        assert_eq!(asked, ["/a", "/b", "/a"]);
    }
}
