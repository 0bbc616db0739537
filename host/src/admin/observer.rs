//! Collects the metrics of all parts of the host.

use std::sync::Arc;

use super::shares::Shares;
use crate::capability::Services;
use crate::jobs::JobMetrics;
use crate::ledger::Ledger;
use crate::lifecycle::Lifecycle;
use crate::metrics::process::Process;
use crate::metrics::{DeliveryCounters, Gauge, Gauges, Requests, text};
use crate::sandbox::Runtime;
use crate::storage::Repository;
use crate::tenants::budget::SharedBudget;
use crate::webhooks_in::WebhookCounters;

/// The numbers of open connections.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// Connections of the public listener.
    pub public: Gauge,
    /// Connections of the admin listener.
    pub admin: Gauge,
}

/// The parts of the host that are measured.
pub struct Observer {
    /// Counts the requests of the public listener.
    pub requests: Arc<Requests>,
    /// Counts the connections.
    pub connections: Connections,
    /// Counts the bytes of request bodies.
    pub bodies: Arc<SharedBudget>,
    /// Shared resources of the admin API.
    pub shares: Arc<Shares>,
    /// Counts the routes with an open circuit breaker.
    pub unhealthy_routes: Gauge,
    /// Counts instances and loaded components.
    pub runtime: Arc<Runtime>,
    /// Counts the active versions that are compiled again.
    pub lifecycle: Arc<Lifecycle>,
    /// Count open databases and outbound connections.
    pub services: Services,
    /// Counts invocation records.
    pub ledger: Arc<Ledger>,
    /// Counts jobs.
    pub jobs: JobMetrics,
    /// Counts mail.
    pub db: Arc<dyn Repository>,
    /// Counts attempts to deliver webhooks.
    pub deliveries: Arc<DeliveryCounters>,
    /// Counts received webhooks.
    pub webhooks: Arc<WebhookCounters>,
}

impl Observer {
    /// The current gauges.
    pub async fn gauges(&self) -> Gauges {
        // Both read files or wait briefly for locks.
        let databases = self.services.databases.clone();
        let blocking = tokio::task::spawn_blocking(move || (Process::now(), databases.held()));
        let (process, databases) = match blocking.await {
            Ok((process, databases)) => (process, Some(databases)),
            Err(_) => Default::default(),
        };
        let runtime = self.runtime.held().await;
        let outbound = self.services.http.held();
        let ledger = self.ledger.held();
        let recompile = self.lifecycle.recompile_progress();
        // Not known while the database cannot be read.
        let jobs = self.jobs.now().await.ok();
        let mail = self.db.mail_totals().await.ok();
        Gauges {
            requests_under_way: Some(self.requests.under_way()),
            requests_admitted: Some(self.requests.admitted.get()),
            requests_waiting: Some(self.requests.waiting.get()),
            request_body_bytes: Some(self.bodies.held()),
            upload_bytes: Some(self.shares.upload_bytes()),
            routes_unhealthy: Some(self.unhealthy_routes.get()),
            guests_running: Some(runtime.guests),
            instances_in_use: Some(runtime.instances),
            instances_kept: Some(runtime.instances_kept),
            instances_total: Some(runtime.instances_total),
            database_transactions: databases.map(|held| held.transactions),
            database_cursors: databases.map(|held| held.cursors),
            database_statements: databases.map(|held| held.statements),
            databases_open: databases.map(|held| held.tenants),
            database_connections: databases.map(|held| held.connections),
            outbound_requests: Some(outbound.requests),
            outbound_connections: Some(outbound.connections),
            outbound_connections_idle: Some(outbound.idle_connections),
            compile_workers: Some(runtime.compile_workers),
            recompile_to_do: Some(recompile.to_do),
            recompile_done: Some(recompile.done),
            recompile_failed: Some(recompile.failed),
            components_loaded: Some(runtime.components),
            components_loaded_bytes: Some(runtime.component_bytes),
            jobs_queued: jobs.map(|jobs| jobs.queued),
            jobs_running: jobs.map(|jobs| jobs.running),
            jobs_dead: jobs.map(|jobs| jobs.dead),
            jobs_oldest_ready_seconds: jobs.map(|jobs| jobs.oldest_ready.as_secs()),
            job_slots_in_use: jobs.map(|jobs| jobs.slots_in_use),
            job_slots_total: jobs.map(|jobs| jobs.slots),
            mails_queued: mail.map(|mail| mail.queued),
            mails_caught: mail.map(|mail| mail.caught),
            mails_failed: mail.map(|mail| mail.failed),
            ledger_entries: Some(ledger.entries),
            ledger_log_bytes: Some(ledger.log_bytes),
            public_connections: Some(self.connections.public.get()),
            admin_connections: Some(self.connections.admin.get()),
            process_resident_bytes: process.resident_bytes,
            process_file_descriptors: process.file_descriptors,
            process_threads: process.threads,
        }
    }

    /// All metrics in the text format of Prometheus.
    pub async fn text(&self) -> Result<String, std::fmt::Error> {
        text::write(text::Figures {
            gauges: self.gauges().await,
            ledger: self.ledger.counts(),
            jobs: self.jobs.totals(),
            deliveries: self.deliveries.totals(),
            mail: self.services.mail_counters.figures(),
            webhooks: self.webhooks.totals(),
            requests: self.requests.clone(),
        })
    }
}
