//! A server that answers a request when the test opens its gate, so that a test decides how long a
//! job runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use mortise::config::Config;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;

/// The server. It ends with the test.
pub struct Gate {
    origin: String,
    state: Arc<watch::Sender<State>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    /// How many requests came, by their names.
    arrived: BTreeMap<String, usize>,
    open: BTreeSet<String>,
}

impl Gate {
    /// Starts the server, with all gates closed.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::new(State::default()));
        let handler = {
            let state = state.clone();
            async move |uri: Uri| {
                let name = uri.path().trim_start_matches('/').to_owned();
                let mut changes = state.subscribe();
                state.send_modify(|state| *state.arrived.entry(name.clone()).or_default() += 1);
                // The sender lives as long as this server.
                let _ = changes.wait_for(|state| state.open.contains(&name)).await;
                StatusCode::OK
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

    /// A host whose plugins may call the server.
    pub async fn app() -> App {
        App::configured(Self::configure).await
    }

    /// Lets plugins call the server.
    pub fn configure(config: &mut Config) {
        config.http_client.allow_loopback = true;
    }

    /// The section of the manifest that asks for the server.
    pub fn section(&self) -> String {
        format!("[http]\nallow = ['{}']\n", self.origin)
    }

    /// The step that waits at a gate.
    pub fn step(&self, name: &str) -> serde_json::Value {
        serde_json::json!({ "get": format!("{}/{name}", self.origin) })
    }

    /// Waits until `count` requests have come to a gate since the start.
    pub async fn arrived(&self, name: &str, count: usize) {
        let mut changes = self.state.subscribe();
        let enough = changes.wait_for(|state| state.arrived.get(name).is_some_and(|here| *here >= count));
        let waited = tokio::time::timeout(Duration::from_secs(60), enough).await;
        let waited = waited.map(|state| state.is_ok());
        assert!(waited.is_ok(), "{name}: {:?}", self.state.borrow().arrived);
    }

    /// How many requests have come to a gate.
    pub fn count(&self, name: &str) -> usize {
        self.state.borrow().arrived.get(name).copied().unwrap_or(0)
    }

    /// Opens a gate for good.
    pub fn open(&self, name: &str) {
        self.state.send_modify(|state| {
            state.open.insert(name.to_owned());
        });
    }
}
