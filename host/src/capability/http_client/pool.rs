//! The pool of idle outbound connections. Each tenant has its own pool, so no request uses a
//! connection that another tenant opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::address::Reach;
use super::connection::Connection;
use crate::domain::origin::Origin;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How often idle connections are checked. A connection that the server has closed keeps its
/// descriptor until the next check.
const SWEEP: Duration = Duration::from_secs(5);

/// Most idle connections of one origin.
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
    /// Creates an empty pool. `slots` bounds the idle connections of all tenants together. A task
    /// on `background` closes expired ones.
    pub fn new(slots: Arc<Semaphore>, background: Handle) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            shelf: Mutex::default(),
            slots,
            background,
            myself: myself.clone(),
        })
    }

    /// Takes a usable connection to `origin` whose address lies within `reach`.
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

    /// Adds a connection to the pool, or closes it if the pool is full.
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

    /// Closes all idle connections.
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

/// Closes connections that have expired or that the server has closed. Ends when the pool is empty.
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
