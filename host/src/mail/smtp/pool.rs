//! Keeps connections to mail servers for a while, so that many mails need few of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Server;
use super::session::Session;
use crate::domain::id::TenantId;

/// How long an idle connection is kept. Servers close idle ones after some minutes.
const IDLE: Duration = Duration::from_secs(30);

/// The most idle connections to one server.
const EACH: usize = 4;

/// The most idle connections of a host.
const MOST: usize = 128;

/// Whose connection it is, and to where. Tenants share none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    owner: Option<TenantId>,
    host: String,
    port: u16,
    username: Option<String>,
}

impl Key {
    /// The key of a server.
    pub fn of(server: &Server) -> Self {
        Self {
            owner: server.owner,
            host: server.host.clone(),
            port: server.port,
            username: server.login.as_ref().map(|login| login.username.clone()),
        }
    }
}

/// The idle connections of a host.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Vec<(Instant, Session)>>>);

impl Pool {
    /// The connection that was used last.
    pub fn take(&self, key: &Key) -> Option<Session> {
        let mut idle = self.idle();
        drop_old(&mut idle);
        let (_, session) = idle.get_mut(key)?.pop()?;
        Some(session)
    }

    /// Keeps a connection, unless there are enough.
    pub fn put(&self, key: Key, session: Session) {
        let mut idle = self.idle();
        drop_old(&mut idle);
        let all: usize = idle.values().map(Vec::len).sum();
        let of_server = idle.entry(key).or_default();
        if all < MOST && of_server.len() < EACH {
            of_server.push((Instant::now(), session));
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Instant, Session)>>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_old(idle: &mut HashMap<Key, Vec<(Instant, Session)>>) {
    idle.retain(|_, sessions| {
        sessions.retain(|(since, _)| since.elapsed() < IDLE);
        !sessions.is_empty()
    });
}
