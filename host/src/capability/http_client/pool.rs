//! Connections that wait for their next request. Every tenant has a pool of its own, so that no
//! tenant's request goes out on a connection that another one opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::address::Reach;
use super::connection::Connection;
use crate::domain::origin::Origin;

/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(30);

/// How often idle connections are looked at. One that the server has closed keeps its descriptor
/// for as long.
const SWEEP: Duration = Duration::from_secs(5);

/// Connections that wait for one origin.
const MOST_PER_ORIGIN: usize = 8;

/// The idle connections of one tenant.
pub struct Pool {
    shelf: Mutex<Shelf>,
    slots: Arc<Semaphore>,
    background: Handle,
    myself: Weak<Pool>,
}

#[derive(Default)]
struct Shelf {
    idle: HashMap<Origin, Vec<Idle>>,
    is_swept: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Pool {
    /// An empty pool. `slots` bounds the idle connections of all tenants together. They are looked
    /// after in the background.
    pub fn new(slots: Arc<Semaphore>, background: Handle) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            shelf: Mutex::default(),
            slots,
            background,
            myself: myself.clone(),
        })
    }

    /// A connection to `origin` that is ready, and whose other end lies within `reach`.
    pub fn take(&self, origin: &Origin, reach: Reach) -> Option<Connection> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = shelf.idle.get_mut(origin)?;
        while let Some(mut candidate) = idle.pop() {
            if candidate.is_usable(Instant::now()) && reach.covers(candidate.connection.peer.ip()) {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// Keeps a connection for later, where there is room for it.
    pub fn put(&self, origin: &Origin, connection: Connection) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return;
        };
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = shelf.idle.entry(origin.clone()).or_default();
        if idle.len() >= MOST_PER_ORIGIN {
            return;
        }
        idle.push(Idle {
            connection,
            since: Instant::now(),
            _slot: slot,
        });
        if !std::mem::replace(&mut shelf.is_swept, true) {
            self.background.spawn(sweep(self.myself.clone()));
        }
    }

    /// Closes all that wait.
    pub fn clear(&self) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.idle.clear();
    }
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < IDLE && self.connection.is_usable()
    }
}

/// Closes connections that nobody came for or that the server has closed, and ends when there are
/// none left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut shelf = pool.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        shelf.idle.retain(|_, idle| {
            idle.retain_mut(|idle| idle.is_usable(now));
            !idle.is_empty()
        });
        if shelf.idle.is_empty() {
            shelf.is_swept = false;
            return;
        }
    }
}
