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
    /// One after the other, and again from the first.
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
    /// Where the path is none.
    pub fn get(address: SocketAddr, path: &str) -> Self {
        Self::new(address, Method::GET, path)
    }

    /// A `POST` to a path.
    ///
    /// # Panics
    ///
    /// Where the path is none.
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

    /// To these paths in turn, in place of the one.
    ///
    /// # Panics
    ///
    /// Where there is none, or one of them is no path.
    #[must_use]
    pub fn paths(mut self, paths: &[String]) -> Self {
        assert!(!paths.is_empty(), "a call goes somewhere");
        self.uris = paths.iter().map(|path| uri(path)).collect();
        self
    }

    /// With a header in place of one of its name.
    ///
    /// # Panics
    ///
    /// Where the name or the value is none.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// With a body.
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
