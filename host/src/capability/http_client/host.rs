//! The host calls of the HTTP client.

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::super::bindings::http_client::{IncomingResponse, OutgoingRequest};
use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, HostFault, Invocation};
use super::error::{SendError, TypedError};
use super::request::{self, Outgoing};
use super::response::Received;
use super::send::Exchange;
use super::{ClientState, Pending, secret};
use crate::storage::vault::Vault;

/// The part of the invocation that the HTTP client may use.
pub struct HttpClientView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The guest's resources.
    pub table: &'a mut ResourceTable,
    /// Decrypts secrets.
    pub vault: &'a Vault,
    /// The client.
    pub client: &'a ClientState,
}

struct HttpClient;

/// A running request. Dropping it cancels the request.
type Task = AbortOnDropHandle<Result<Received, SendError>>;

impl HasData for HttpClient {
    type Data<'a> = HttpClientView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::http_client::add_to_linker::<T, HttpClient>(linker, view)?;
    v0_2::http_client::add_to_linker::<T, HttpClient>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> HttpClientView<'_> {
    let state = data.capabilities();
    let make = || ClientState::new(&state.services.http, &state.invocation);
    HttpClientView {
        client: state.http_client.get_or_insert_with(make),
        invocation: &mut state.invocation,
        table: &mut state.table,
        vault: &state.services.vault,
    }
}

impl HttpClientView<'_> {
    /// Makes all checks that come before a request is sent, and starts it.
    fn admitted(
        &mut self,
        function: &'static str,
        request: OutgoingRequest,
    ) -> Result<(Task, OwnedSemaphorePermit), SendError> {
        self.invocation.charge_host_call(request::bytes(&request))?;
        let active = &self.invocation.active;
        let request = Outgoing::new(request, active, self.vault, self.invocation.call_depth);
        let calls = &mut self.invocation.last_calls;
        match &request {
            Ok(request) => calls.note_to(function, &request.target.origin),
            Err(_) => calls.note(function),
        }
        let request = request?;
        let clients = &self.client.clients;
        let scheme = request.target.origin.scheme();
        let reach = secret::reach(scheme, request.carries_secret, clients.config.allow_loopback)?;
        // The guest can only shorten its time limit. A part of the invocation's remaining time is
        // kept for the guest, so that it can respond if the server does not.
        let most = active
            .limits
            .http_total
            .0
            .min(self.invocation.host_call_timeout());
        let time = request.timeout.unwrap_or(most).min(most);
        let permit = self.client.budget.permit()?;
        let exchange = Exchange {
            clients: clients.clone(),
            tenant: self.client.tenant.clone(),
            budget: self.client.budget.clone(),
            work: self.client.work.clone(),
            _under_way: clients.requests.hold(),
            limits: active.limits.clone(),
            request,
            reach,
            deadline: Instant::now() + time,
        };
        let admission = exchange.admit()?;
        Ok((exchange.start(admission), permit))
    }

    async fn sent(&mut self, request: OutgoingRequest) -> wasmtime::Result<Result<Received, SendError>> {
        match self.admitted("http.send", request) {
            Ok((task, _permit)) => Ok(task.await.map_err(HostFault::new)?),
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn started(&mut self, request: OutgoingRequest) -> Result<Resource<Pending>, SendError> {
        let pending = Pending {
            task: Some(self.admitted("http.start", request)?),
        };
        Ok(self.invocation.hold(self.table, pending)?)
    }

    async fn awaited(
        &mut self,
        pending: &Resource<Pending>,
    ) -> wasmtime::Result<Result<Received, SendError>> {
        self.invocation.last_calls.note("http.wait");
        if let Err(refused) = self.invocation.charge_host_call(0) {
            return Ok(Err(refused.into()));
        }
        let Some((task, _permit)) = self.table.get_mut(pending)?.task.take() else {
            return Ok(Err(SendError::InvalidRequest(
                "the response of this request was taken before; `wait` works once".to_owned(),
            )));
        };
        Ok(task.await.map_err(HostFault::new)?)
    }

    fn answer<R: From<IncomingResponse>, E: From<TypedError>>(
        &mut self,
        outcome: Result<Received, SendError>,
    ) -> wasmtime::Result<Result<R, E>> {
        self.client.settle(&mut self.invocation.usage);
        match outcome {
            Ok(received) => Ok(Ok(IncomingResponse::from(received).into())),
            Err(error) => Ok(Err(error.typed()?.into())),
        }
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::http_client::Host for HttpClientView<'_> {
            async fn send(
                &mut self,
                request: $contract::http_client::OutgoingRequest,
            ) -> wasmtime::Result<
                Result<$contract::http_client::IncomingResponse, $contract::http_client::Error>,
            > {
                let outcome = self.sent(request.into()).await?;
                self.answer(outcome)
            }

            async fn start(
                &mut self,
                request: $contract::http_client::OutgoingRequest,
            ) -> wasmtime::Result<Result<Resource<Pending>, $contract::http_client::Error>> {
                let outcome = self.started(request.into());
                self.client.settle(&mut self.invocation.usage);
                match outcome {
                    Ok(pending) => Ok(Ok(pending)),
                    Err(error) => Ok(Err(error.typed()?.into())),
                }
            }
        }

        impl $contract::http_client::HostPending for HttpClientView<'_> {
            async fn wait(
                &mut self,
                pending: Resource<Pending>,
            ) -> wasmtime::Result<
                Result<$contract::http_client::IncomingResponse, $contract::http_client::Error>,
            > {
                let outcome = self.awaited(&pending).await?;
                self.answer(outcome)
            }

            async fn drop(&mut self, pending: Resource<Pending>) -> wasmtime::Result<()> {
                self.invocation.release(self.table, pending)?;
                self.client.settle(&mut self.invocation.usage);
                Ok(())
            }
        }

        impl From<TypedError> for $contract::http_client::Error {
            fn from(error: TypedError) -> Self {
                match error {
                    TypedError::Denied(text) => Self::Denied(text),
                    TypedError::InvalidRequest(text) => Self::InvalidRequest(text),
                    TypedError::Dns(text) => Self::Dns(text),
                    TypedError::Connect(text) => Self::Connect(text),
                    TypedError::Tls(text) => Self::Tls(text),
                    TypedError::Timeout => Self::Timeout,
                    TypedError::TooLarge => Self::TooLarge,
                    TypedError::CircuitOpen => Self::CircuitOpen,
                    TypedError::Protocol(text) => Self::Protocol(text),
                    TypedError::Limit(text) => Self::Limit(text),
                }
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);
