//! A receiver of webhooks on loopback, which answers as a test says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mortise::domain::clock::Timestamp;
use mortise::webhooks_out::{SigningSecret, signatures};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A receiver. It ends with the test.
pub struct Receiver {
    origin: String,
    state: Arc<Mutex<State>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    status: Option<u16>,
    headers: Vec<(&'static str, &'static str)>,
}

/// A received webhook.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Receiver {
    /// Starts a receiver that answers 200.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let handler = {
            let state = state.clone();
            move |headers: HeaderMap, body: Bytes| {
                let answer = answer(&state, headers, &body);
                async move { answer }
            }
        };
        let serve = async move {
            axum::serve(listener, Router::new().fallback(handler))
                .await
                .unwrap();
        };
        Self {
            origin,
            state,
            _serving: AbortOnDropHandle::new(tokio::spawn(serve)),
        }
    }

    /// A URL of the receiver.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// From now on, it answers with this status and these headers.
    pub fn answers(&self, status: u16, headers: &[(&'static str, &'static str)]) {
        let mut state = self.state.lock().unwrap();
        state.status = Some(status);
        state.headers = headers.to_vec();
    }

    /// What it received so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }
}

fn answer(state: &Mutex<State>, headers: HeaderMap, body: &Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let received = Received {
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    state.received.push(received);
    let status = StatusCode::from_u16(state.status.unwrap_or(200)).unwrap();
    let mut response = (status, format!("answer {status}")).into_response();
    for (name, value) in &state.headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

impl Received {
    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Checks the signatures against these secrets, the newest first.
    pub fn is_signed_with(&self, secrets: &[&str]) {
        let seconds: i64 = self.header("webhook-timestamp").parse().unwrap();
        let secrets: Vec<_> = secrets
            .iter()
            .map(|text| SigningSecret::parse(text).unwrap())
            .collect();
        let at = Timestamp(seconds * 1_000);
        let wanted = signatures(&secrets, self.header("webhook-id"), at, self.body.as_bytes());
        assert_eq!(self.header("webhook-signature"), wanted);
    }
}
