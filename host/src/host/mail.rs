//! Connects mail with the other parts of a host.

use std::sync::Arc;

use secrecy::SecretString;

use super::job_queue::QueueParts;
use super::storage::Storage;
use crate::capability::Services;
use crate::config::{Config, MailSection};
use crate::domain::clock::SharedClock;
use crate::domain::public_url::PublicUrl;
use crate::mail::{Login, MailHandler, MailIntake, MailRetention, MailServers, Server, Smtp};
use crate::metrics::MailCounters;

/// The parts of mail that exist before the services.
pub struct MailParts {
    /// Where mail goes.
    pub servers: Arc<MailServers>,
    /// Takes the mail of plugins.
    pub intake: Arc<MailIntake>,
    /// Counts mail.
    pub counters: Arc<MailCounters>,
}

impl MailParts {
    /// Creates what takes mail. `public_url` is where receivers unsubscribe.
    pub fn new(
        config: &Config,
        storage: &Storage,
        queue: &QueueParts,
        public_url: &Arc<PublicUrl>,
        clock: &SharedClock,
    ) -> Self {
        let own = own_server(&config.mail);
        let servers = Arc::new(MailServers::new(storage.db.clone(), storage.vault.clone(), own));
        let counters: Arc<MailCounters> = Arc::default();
        let intake = MailIntake {
            db: storage.db.clone(),
            servers: servers.clone(),
            queue: queue.queue.clone(),
            counters: counters.clone(),
            public_url: public_url.clone(),
            clock: clock.clone(),
        };
        Self {
            servers,
            intake: Arc::new(intake),
            counters,
        }
    }
}

/// What sends mail, as the handler of its jobs.
pub fn handler(
    config: &Config,
    storage: &Storage,
    servers: &Arc<MailServers>,
    services: &Services,
    clock: &SharedClock,
) -> MailHandler {
    MailHandler {
        db: storage.db.clone(),
        servers: servers.clone(),
        smtp: Smtp::new(services.http.clone(), config.mail.hello.clone()),
        counters: services.mail_counters.clone(),
        clock: clock.clone(),
    }
}

/// What deletes old mail.
pub fn retention(
    config: &Config,
    storage: &Storage,
    queue: &QueueParts,
    clock: &SharedClock,
) -> MailRetention {
    MailRetention {
        db: storage.db.clone(),
        routing: queue.routing.clone(),
        clock: clock.clone(),
        keep: config.retention.mails.0,
    }
}

/// The server of the host; `None` if the catcher keeps all mail.
fn own_server(section: &MailSection) -> Option<Server> {
    if section.host.is_empty() {
        return None;
    }
    let login = (!section.username.is_empty()).then(|| Login {
        username: section.username.clone(),
        password: SecretString::from(section.password.0.clone()),
    });
    Some(Server {
        owner: None,
        host: section.host.clone(),
        port: section.port,
        security: section.security,
        login,
    })
}
