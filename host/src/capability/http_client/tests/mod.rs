//! Tests of the HTTP client's host calls against servers on loopback.

mod exchange;
mod failures;
mod hostile;
mod limits;
mod numbers;
mod server;
mod tls;

use std::sync::Arc;

use tokio::runtime::Handle;
use wasmtime::component::{Resource, ResourceTable};

use super::super::bindings::http_client::{
    Error, Host as _, HostPending as _, IncomingResponse, OutgoingRequest,
};
use super::super::{ActiveVersion, Invocation, testing};
use super::{ClientState, HttpClientConfig, HttpClientView, HttpClients, Pending};
use crate::domain::clock::{ManualClock, Timestamp};
use crate::domain::grant::Grants;
use crate::domain::limits::Limits;
use crate::domain::secret::SecretOrigins;
use crate::storage::vault::{HostKey, Vault};

/// One invocation that may send requests to loopback.
struct Guest {
    invocation: Invocation,
    table: ResourceTable,
    vault: Vault,
    client: ClientState,
}

impl Guest {
    fn new(clients: &Arc<HttpClients>, limits: Limits, origins: &[&str]) -> Self {
        Self::of(clients, testing::invocation(limits, granting(origins)))
    }

    /// A guest with the default limits and clients of its own.
    fn alone(origins: &[&str]) -> Self {
        Self::new(&clients(), Limits::default(), origins)
    }

    fn of(clients: &Arc<HttpClients>, invocation: Invocation) -> Self {
        Self {
            client: ClientState::new(clients, &invocation),
            invocation,
            table: ResourceTable::new(),
            vault: vault(),
        }
    }

    /// Another invocation of the same tenant and plugin.
    fn again(&self) -> Self {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        invocation.active = self.invocation.active.clone();
        Self::of(&self.client.clients, invocation)
    }

    fn with_secret(mut self, name: &str, value: &str) -> Self {
        let mut active = ActiveVersion::clone(&self.invocation.active);
        set_secret(&mut active, name, value);
        self.invocation.active = Arc::new(active);
        self
    }

    fn view(&mut self) -> HttpClientView<'_> {
        HttpClientView {
            invocation: &mut self.invocation,
            table: &mut self.table,
            vault: &self.vault,
            client: &self.client,
        }
    }

    async fn send(&mut self, request: OutgoingRequest) -> Result<IncomingResponse, Error> {
        self.view().send(request).await.unwrap()
    }

    async fn get(&mut self, url: &str) -> Result<IncomingResponse, Error> {
        self.send(request("GET", url)).await
    }

    async fn start(&mut self, request: OutgoingRequest) -> Result<Resource<Pending>, Error> {
        self.view().start(request).await.unwrap()
    }

    async fn wait(&mut self, pending: &Resource<Pending>) -> Result<IncomingResponse, Error> {
        let pending = Resource::new_borrow(pending.rep());
        self.view().wait(pending).await.unwrap()
    }

    async fn give_up(&mut self, pending: Resource<Pending>) {
        self.view().drop(pending).await.unwrap();
    }
}

/// Clients that reach loopback.
fn clients() -> Arc<HttpClients> {
    clients_at(Arc::new(ManualClock::new(Timestamp(0))))
}

fn clients_at(clock: Arc<ManualClock>) -> Arc<HttpClients> {
    let config = HttpClientConfig {
        allow_loopback: true,
        ..HttpClientConfig::default()
    };
    Arc::new(HttpClients::new(config, clock, Handle::current()).unwrap())
}

fn granting(origins: &[&str]) -> Grants {
    Grants {
        http: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        ..Grants::default()
    }
}

fn set_secret(active: &mut ActiveVersion, name: &str, value: &str) {
    let sealed = vault().seal(active.tenant, name, &value.into()).unwrap();
    active.secrets = Arc::new([(name.to_owned(), sealed)].into());
    let mut grants = Grants::clone(&active.grants);
    grants.secrets.usable.add(name.to_owned(), SecretOrigins::Granted);
    active.grants = Arc::new(grants);
}

/// Binds a secret of `active` to these origins.
pub fn bind(active: &mut ActiveVersion, name: &str, origins: &[&str]) {
    let origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    let mut grants = Grants::clone(&active.grants);
    grants.secrets.usable = [(name.to_owned(), SecretOrigins::Only(origins))]
        .into_iter()
        .collect();
    active.grants = Arc::new(grants);
}

/// The vault of all these tests.
pub fn vault() -> Vault {
    Vault::new(&HostKey::from_hex(&"5a".repeat(32)).unwrap())
}

/// A request without headers or body.
pub fn request(method: &str, url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        secret_headers: Vec::new(),
        body: None,
        timeout_ms: None,
        retry: None,
    }
}

/// A version that may send requests to `origins`.
pub fn active(origins: &[&str]) -> ActiveVersion {
    let invocation = testing::invocation(Limits::default(), granting(origins));
    ActiveVersion::clone(&invocation.active)
}

/// A version that may use one secret.
pub fn active_with_secret(name: &str, value: &str) -> ActiveVersion {
    let mut active = active(&[]);
    set_secret(&mut active, name, value);
    active
}
