//! The second step of opening a host: the back ends of the capabilities.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::runtime::Handle;

use super::OpenError;
use super::mail::MailParts;
use super::storage::Storage;
use crate::capability::Services;
use crate::capability::cache::MemoryCaches;
use crate::capability::database::{DatabaseEngine, SqliteDatabases};
use crate::capability::http_client::{CertificateAuthority, HttpClientConfig, HttpClients};
use crate::capability::jobs::JobQueue;
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::server::descriptors;
use crate::storage::{Repository, set_aside};

/// Opens the back ends. SQL and outbound requests of plugins run on `background`.
pub async fn open(
    config: &Config,
    storage: &Storage,
    jobs: Arc<dyn JobQueue>,
    mail: &MailParts,
    clock: &SharedClock,
    background: &Handle,
) -> Result<Services, OpenError> {
    let folder = storage.folder.path();
    let databases = SqliteDatabases::new(
        folder.join("databases"),
        descriptors::databases(descriptors::limit()),
        background.clone(),
        clock.clone(),
    )
    .map_err(OpenError::Databases)?;
    look_for_databases(&*storage.db, &databases, folder).await?;
    Ok(Services {
        caches: Arc::new(MemoryCaches::new(clock.clone())),
        databases: Arc::new(databases),
        http: Arc::new(http_clients(config, clock.clone(), background.clone())?),
        jobs,
        mail: mail.intake.clone(),
        mail_counters: mail.counters.clone(),
        renderer: Arc::default(),
        vault: storage.vault.clone(),
    })
}

/// Compares the existing files of tenants' databases with the tenants that should have one.
async fn look_for_databases(
    db: &dyn Repository,
    databases: &dyn DatabaseEngine,
    data: &Path,
) -> Result<(), OpenError> {
    let aside = set_aside::listed(data).map_err(OpenError::Databases)?;
    let there = databases
        .tenants_with_data()
        .await
        .map_err(OpenError::Databases)?;
    db.note_databases(&there).await?;
    let there: HashSet<_> = there.into_iter().collect();
    for tenant in db.tenants_with_databases().await? {
        if !there.contains(&tenant) {
            databases.mark_missing(tenant);
            let name = format!("{tenant}.db");
            for file in aside.iter().filter(|file| file.ends_with(&name)) {
                tracing::error!(%tenant, file = %file.display(), "a file of this tenant's database was set aside");
            }
        }
    }
    Ok(())
}

fn http_clients(config: &Config, clock: SharedClock, background: Handle) -> Result<HttpClients, OpenError> {
    let mut extra_ca = Vec::new();
    for path in &config.http_client.certificate_authorities {
        let failed = |message: String| OpenError::CertificateAuthority {
            path: path.clone(),
            message,
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            extra_ca.push(CertificateAuthority {
                file: path.clone(),
                certificate,
            });
        }
    }
    let allow_loopback = config.http_client.allow_loopback;
    let config = HttpClientConfig {
        allow_loopback,
        extra_ca,
        ..HttpClientConfig::default()
    };
    HttpClients::new(config, clock, background).map_err(|invalid| OpenError::CertificateAuthority {
        path: invalid.file,
        message: invalid.reason.to_string(),
    })
}
