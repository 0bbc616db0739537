//! Sends one request of a guest, with its retries.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::address::Reach;
use super::breaker::Admission;
use super::budget::Budget;
use super::connect::connect;
use super::connection::Connection;
use super::error::{Phase, SendError};
use super::request::Outgoing;
use super::resolve::addresses;
use super::response::{self, Received};
use super::retry::is_idempotent;
use super::work::Work;
use super::{HttpClients, TenantClient};
use crate::domain::limits::Limits;
use crate::metrics::GaugeGuard;

/// A timeout counts as a failure of the origin only after this long. Shorter timeouts result from a
/// plugin's own limit and must not open the circuit for the tenant's other plugins.
const FAIR_CHANCE: Duration = Duration::from_secs(1);

/// How long a connection may take to become ready for its next request after a response.
const READY_AGAIN: Duration = Duration::from_millis(10);

/// A request with everything that is needed to send it.
pub struct Exchange {
    /// What the host's clients share.
    pub clients: Arc<HttpClients>,
    /// What the tenant's requests share.
    pub tenant: Arc<TenantClient>,
    /// What the invocation's requests share.
    pub budget: Arc<Budget>,
    /// Charges CPU time to the invocation.
    pub work: Arc<Work>,
    /// Counts the request as running.
    pub _under_way: GaugeGuard,
    /// The limits of the invocation.
    pub limits: Arc<Limits>,
    /// The request.
    pub request: Outgoing,
    /// The addresses that it may reach.
    pub reach: Reach,
    /// The final deadline.
    pub deadline: Instant,
}

/// Why an attempt failed, and whether the request may be sent on another connection.
struct Failed {
    error: SendError,
    is_repeatable: bool,
}

impl Failed {
    fn finally(error: SendError) -> Self {
        Self {
            error,
            is_repeatable: false,
        }
    }
}

impl Exchange {
    /// Counts one attempt. Returns an error if the circuit is open or a limit is reached.
    pub fn admit(&self) -> Result<Admission, SendError> {
        if self.work.is_spent() {
            return Err(SendError::CpuSpent(self.work.limit()));
        }
        let origin = &self.request.target.origin;
        let admission = self.tenant.breakers.admit(origin, self.clients.clock.now());
        let admission = admission.ok_or(SendError::CircuitOpen)?;
        self.budget.take_request()?;
        Ok(admission)
    }

    /// Starts an admitted request in its own task. Dropping the handle cancels it.
    pub fn start(self, admission: Admission) -> AbortOnDropHandle<Result<Received, SendError>> {
        let work = self.work.clone();
        work.spawn(async move { self.run(admission).await })
    }

    /// Sends an admitted request and retries it by its policy. If no further attempt is possible,
    /// returns the last outcome.
    async fn run(&self, mut admission: Admission) -> Result<Received, SendError> {
        // The time is also counted if the request is cancelled.
        let _timed = Timed(&self.budget, Instant::now());
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(admission).await;
            let now = self.clients.clock.now();
            // Without randomness the waits only lose their jitter.
            let random = getrandom::u64().unwrap_or_default();
            let retry = self.request.retry;
            let Some(wait) = retry.wait_after(attempt, &self.request.method, &outcome, now, random) else {
                return outcome;
            };
            let next = Instant::now().checked_add(wait);
            let Some(next) = next.filter(|next| *next < self.deadline) else {
                return outcome;
            };
            sleep_until(next).await;
            admission = match self.admit() {
                Ok(admission) => admission,
                Err(_) => return outcome,
            };
            attempt += 1;
        }
    }

    async fn attempt(&self, admission: Admission) -> Result<Received, SendError> {
        let began = Instant::now();
        self.budget.count_sent(self.request.body.len());
        let outcome = timeout_at(self.deadline, self.exchange())
            .await
            .unwrap_or_else(|_| {
                Err(SendError::Timeout {
                    phase: Phase::Whole,
                    after: began.elapsed(),
                })
            });
        match &outcome {
            Ok(_) | Err(SendError::TooLarge) => admission.succeeded(),
            Err(error) if is_fault_of_origin(error) => admission.failed(self.clients.clock.now()),
            Err(_) => {}
        }
        outcome
    }

    async fn exchange(&self) -> Result<Received, SendError> {
        if let Some(connection) = self.tenant.pool.take(&self.request.target.origin, self.reach) {
            match self.over(connection).await {
                // The server closed the connection while it was idle, so the request is sent on a
                // new one.
                Err(failed) if failed.is_repeatable => {}
                outcome => return outcome.map_err(|failed| failed.error),
            }
        }
        let connection = self.open().await?;
        self.over(connection).await.map_err(|failed| failed.error)
    }

    async fn open(&self) -> Result<Connection, SendError> {
        let began = Instant::now();
        let deadline = began + self.limits.http_connect.0;
        let (clients, tenant, target) = (&self.clients, &self.tenant, &self.request.target);
        let opening = async {
            let addresses = addresses(target, self.reach, &tenant.lookups).await?;
            connect(
                target,
                &addresses,
                &tenant.tls,
                &self.work,
                clients.connections.hold(),
                deadline,
            )
            .await
        };
        let opened = timeout_at(deadline, opening).await.unwrap_or_else(|_| {
            Err(SendError::Timeout {
                phase: Phase::Connect,
                after: began.elapsed(),
            })
        });
        self.budget.count_connect(began.elapsed());
        opened
    }

    async fn over(&self, mut connection: Connection) -> Result<Received, Failed> {
        let head = self.head(&mut connection).await?;
        let most = self.limits.http_response_body.as_usize();
        let idle = self.clients.config.idle;
        let Connection { sender, line, .. } = &mut connection;
        let received = Received::read(head, line, &self.work, most, idle)
            .await
            .map_err(Failed::finally)?;
        self.budget.count_received(received.body.len());
        let ready = line.wait_for(&self.work, sender.ready());
        if let Ok(Ok(Ok(()))) = timeout(READY_AGAIN, ready).await {
            self.tenant.pool.put(&self.request.target.origin, connection);
        }
        Ok(received)
    }

    /// Sends the request and waits for the head of its response.
    async fn head(&self, connection: &mut Connection) -> Result<Response<Incoming>, Failed> {
        let began = Instant::now();
        let Connection { sender, line, .. } = connection;
        line.allowance().begin_response();
        let sending = line.wait_for(&self.work, sender.try_send_request(self.request.message()));
        let head = timeout(self.limits.http_first_byte.0, sending).await;
        self.budget.count_first_byte(began.elapsed());
        match head {
            Ok(Ok(Ok(head))) => Ok(head),
            Ok(Ok(Err(mut failed))) => {
                let is_unsent = failed.take_message().is_some();
                let error = failed.into_error();
                Err(Failed {
                    is_repeatable: is_unsent || (is_idempotent(&self.request.method) && !error.is_parse()),
                    error: response::protocol(&error),
                })
            }
            Ok(Err(error)) => Err(Failed::finally(error)),
            Err(_) => Err(Failed::finally(SendError::Timeout {
                phase: Phase::Response,
                after: began.elapsed(),
            })),
        }
    }
}

/// Records the duration of a request when it is dropped.
struct Timed<'a>(&'a Budget, Instant);

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.0.count_time(self.1.elapsed());
    }
}

fn is_fault_of_origin(error: &SendError) -> bool {
    match error {
        SendError::Dns(_) | SendError::Connect { .. } | SendError::Tls { .. } | SendError::Excess(_) => true,
        SendError::Timeout { after, .. } => *after >= FAIR_CHANCE,
        _ => false,
    }
}
