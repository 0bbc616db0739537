//! The loopback server for the guest's requests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A server on a free port, which records its requests. It ends with the test.
pub struct Server {
    pub origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Server {
    /// Starts the server. The path selects the response: `/status/503`, `/size/100`, `/never`,
    /// `/flaky`; any other path echoes the request.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let handler = {
            let seen = seen.clone();
            move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let before = seen.lock().unwrap().len();
                let request = Seen {
                    method,
                    uri: uri.clone(),
                    headers,
                    body: body.clone(),
                };
                seen.lock().unwrap().push(request);
                answer(uri, body, before)
            }
        };
        let serve = async move {
            axum::serve(listener, Router::new().fallback(handler))
                .await
                .unwrap();
        };
        Self {
            origin,
            seen,
            _serving: AbortOnDropHandle::new(tokio::spawn(serve)),
        }
    }

    /// A URL on the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(uri: Uri, body: Bytes, before: usize) -> Response {
    let (_, rest) = uri.path().split_once('/').unwrap();
    let (what, argument) = rest.split_once('/').unwrap_or((rest, ""));
    match what {
        "status" => StatusCode::from_u16(argument.parse().unwrap())
            .unwrap()
            .into_response(),
        "size" => "x".repeat(argument.parse().unwrap()).into_response(),
        "never" => std::future::pending().await,
        "flaky" if before < 2 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "redirect" => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        "binary" => ([("content-type", "image/png")], vec![0_u8, 255]).into_response(),
        _ => ([("content-type", "text/plain"), ("x-from", "server")], body).into_response(),
    }
}
