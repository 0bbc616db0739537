//! Decides where a mail goes: to the tenant's server, to that of the host, or into the catcher.

use std::sync::Arc;

use secrecy::SecretString;

use crate::domain::id::TenantId;
use crate::domain::mail_address::Address;
use crate::domain::smtp::SmtpSecurity;
use crate::storage::vault::{Vault, VaultError};
use crate::storage::{DbError, Repository};

/// A mail server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The tenant whose server it is; `None` for the host's own.
    pub owner: Option<TenantId>,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// How the host logs in.
    pub login: Option<Login>,
}

/// A name and a password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// Where a mail goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To a server.
    Server(Box<Server>),
    /// Nowhere: it is kept.
    Catcher,
}

/// Why a mail goes nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRoute {
    /// The operator does not let the tenant send from this domain.
    #[error(
        "the operator of this host lets the tenant send no mail from the domain `{0}` (`mortise mail sender-domains`)"
    )]
    Sender(String),
    /// The password of the tenant's server is not there.
    #[error("the secret `{0}` with the password of the tenant's mail server does not exist")]
    NoPassword(String),
    /// The password cannot be decrypted.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The settings cannot be read.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The mail servers of a host and of its tenants.
pub struct MailServers {
    db: Arc<dyn Repository>,
    vault: Arc<Vault>,
    own: Option<Server>,
}

impl MailServers {
    /// Servers of tenants from `db`, and the host's own server for the others. Without one, the
    /// mail of the others is kept and not sent.
    pub fn new(db: Arc<dyn Repository>, vault: Arc<Vault>, own: Option<Server>) -> Self {
        Self { db, vault, own }
    }

    /// Where mail of a tenant from this address goes.
    pub(super) async fn route(&self, tenant: TenantId, from: &Address) -> Result<Route, NoRoute> {
        if let Some(settings) = self.db.smtp_settings(tenant).await? {
            self.check_sender(tenant, from, true).await?;
            let login = match (settings.username, settings.password_secret) {
                (Some(username), Some(secret)) => Some(Login {
                    username,
                    password: self.password(tenant, &secret).await?,
                }),
                _ => None,
            };
            return Ok(Route::Server(Box::new(Server {
                owner: Some(tenant),
                host: settings.host,
                port: settings.port,
                security: settings.security,
                login,
            })));
        }
        let Some(own) = &self.own else {
            return Ok(Route::Catcher);
        };
        self.check_sender(tenant, from, false).await?;
        Ok(Route::Server(Box::new(own.clone())))
    }

    /// The host's own server sends only for domains that the operator lists for the tenant. A
    /// tenant's own server decides by itself, unless the operator lists domains.
    async fn check_sender(&self, tenant: TenantId, from: &Address, is_own: bool) -> Result<(), NoRoute> {
        let domains = self.db.sender_domains(tenant).await?;
        let is_allowed = domains.contains(from.domain()) || (is_own && domains.is_empty());
        match is_allowed {
            true => Ok(()),
            false => Err(NoRoute::Sender(from.domain().to_owned())),
        }
    }

    async fn password(&self, tenant: TenantId, name: &str) -> Result<SecretString, NoRoute> {
        let secrets = self.db.sealed_secrets(tenant).await?;
        let sealed = secrets
            .get(name)
            .ok_or_else(|| NoRoute::NoPassword(name.to_owned()))?;
        Ok(self.vault.open(tenant, name, sealed)?)
    }
}
