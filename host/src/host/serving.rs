//! The fourth step of opening a host: the public API and the admin API.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::runtime::Runtime;
use super::storage::Storage;
use super::{OpenError, operator_token};
use crate::admin::observer::{Connections, Observer};
use crate::admin::{self, AdminState, JobTasks};
use crate::capability::Services;
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::domain::public_url::PublicUrl;
use crate::gateway::Gateway;
use crate::jobs::Background;
use crate::metrics::DeliveryCounters;
use crate::webhooks_in::Receiver;

/// The parts that answer callers.
pub struct Serving {
    /// The public API.
    pub gateway: Arc<Gateway>,
    /// The routes of the admin API.
    pub admin: Router,
    /// Counters of the listeners' open connections.
    pub connections: Connections,
    /// The URL of the public listener.
    pub public_url: Arc<PublicUrl>,
    /// Cancelled when the host begins to shut down.
    pub draining: CancellationToken,
    /// The file with the operator's first token.
    pub operator_token: PathBuf,
}

impl Serving {
    /// Creates both APIs for the runtime.
    #[expect(clippy::too_many_arguments, reason = "each is a part that was opened before")]
    pub async fn open(
        config: &Config,
        storage: &Storage,
        services: Services,
        runtime: &Runtime,
        jobs: &Background,
        delivery_counters: Arc<DeliveryCounters>,
        public_url: Arc<PublicUrl>,
        clock: &SharedClock,
    ) -> Result<Self, OpenError> {
        let operator_token = operator_token::ensure(&*storage.db, storage.folder.path(), clock.now()).await?;
        let draining = CancellationToken::new();
        let pace = config.server.pace(config.server.body_timeout);
        let webhooks = Receiver::new(jobs.queue().clone(), services.vault.clone(), clock.clone());
        let webhook_counters = webhooks.counters().clone();
        let gateway = Gateway::new(
            runtime.routing.clone(),
            runtime.invoker.clone(),
            webhooks,
            clock.clone(),
            pace,
            draining.clone(),
            public_url.clone(),
        )
        .with_unsubscriptions(storage.db.clone(), services.mail_counters.clone());
        let connections = Connections::default();
        let observer = Observer {
            requests: gateway.requests(),
            connections: connections.clone(),
            bodies: runtime.bodies.clone(),
            shares: Arc::default(),
            unhealthy_routes: runtime.unhealthy_routes.clone(),
            runtime: runtime.sandbox.clone(),
            lifecycle: runtime.lifecycle.clone(),
            services,
            ledger: runtime.ledger.clone(),
            jobs: jobs.metrics().clone(),
            db: storage.db.clone(),
            deliveries: delivery_counters,
            webhooks: webhook_counters,
        };
        let admin = AdminState::new(
            storage.db.clone(),
            runtime.lifecycle.clone(),
            Arc::new(observer),
            JobTasks {
                wake: jobs.wake().clone(),
                queue: jobs.queue().clone(),
                scheduler: jobs.scheduler().clone(),
            },
            clock.clone(),
            draining.clone(),
            pace,
        )
        .with_data(storage.folder.path())
        .with_public_url(public_url.clone())
        .with_limits(config.limits.clone(), config.ceiling());
        Ok(Self {
            gateway: Arc::new(gateway),
            admin: admin::router(admin),
            connections,
            public_url,
            draining,
            operator_token,
        })
    }
}
