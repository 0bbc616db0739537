//! Limits a listener's open connections, in total and per address, and selects a connection to
//! close if there are too many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::activity::{Activity, Order};

/// The most connections to examine for one that can be closed. Examining more would block the
/// accept loop for long.
const LOOKS: usize = 1_024;

/// The bits of an IPv6 address that identify a subscriber. The subscriber chooses the others (RFC
/// 6177).
const SUBSCRIBER: u128 = !0 << 64;

/// The open connections of one listener.
pub struct Connections {
    most: usize,
    most_per_address: u32,
    table: Mutex<Table>,
    shed: AtomicU64,
    refused: AtomicU64,
}

/// The slot of one open connection. Dropping it frees the slot.
pub struct ConnectionSlot {
    connections: Arc<Connections>,
    index: usize,
    activity: Arc<Activity>,
}

/// Why a new connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address has reached its limit.
    #[error("the address has reached its limit of connections")]
    Address,
    /// The listener has reached its limit, and no connection is idle.
    #[error("the listener has reached its limit of connections, and all of them are busy")]
    Busy,
}

#[derive(Default)]
struct Table {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_address: HashMap<IpAddr, u32>,
    /// The index at which the next search for a closable connection begins.
    hand: usize,
}

struct Slot {
    address: IpAddr,
    activity: Arc<Activity>,
}

impl Connections {
    pub(super) fn new(most: u32, most_per_address: u32) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            most_per_address,
            table: Mutex::default(),
            shed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The number of open connections.
    pub fn open(&self) -> u32 {
        u32::try_from(self.table().open()).unwrap_or(u32::MAX)
    }

    /// The number of idle connections closed so far to make room for others.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// The number of connections closed so far immediately after they were accepted.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes a slot for a connection from `address`. If all slots are taken, an idle connection is
    /// closed. Connections that never sent a request are closed first, oldest first, so that a
    /// flood of silent connections displaces only itself.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<ConnectionSlot, Refused> {
        let entered = self.try_enter(subscriber(address), now);
        if entered.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Closes an idle connection, if there is one.
    pub(super) fn shed_one(&self) -> bool {
        let gone = self.table().shed_one();
        if gone {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        gone
    }

    /// Gives all connections an order.
    pub(super) fn tell(&self, order: Order) {
        for slot in self.table().slots.iter().flatten() {
            slot.activity.tell(order);
        }
    }

    fn try_enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<ConnectionSlot, Refused> {
        let mut table = self.table();
        let from_there = table.by_address.get(&address).copied().unwrap_or(0);
        if from_there >= self.most_per_address {
            return Err(Refused::Address);
        }
        if table.open() >= self.most {
            if !table.shed_one() {
                return Err(Refused::Busy);
            }
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        let activity = Arc::new(Activity::new(now));
        let index = table.insert(Slot {
            address,
            activity: activity.clone(),
        });
        Ok(ConnectionSlot {
            connections: self.clone(),
            index,
            activity,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn insert(&mut self, slot: Slot) -> usize {
        *self.by_address.entry(slot.address).or_default() += 1;
        match self.free.pop() {
            Some(index) => {
                self.slots[index] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        }
    }

    fn remove(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        if let Some(count) = self.by_address.get_mut(&slot.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&slot.address);
            }
        }
        Some(slot)
    }

    /// The clock (second-chance) algorithm: closes the first connection that can go, starting at
    /// `hand`. Its slot is free at once, shortly before the connection has ended.
    fn shed_one(&mut self) -> bool {
        for _ in 0..LOOKS.min(2 * self.slots.len()) {
            let index = self.hand % self.slots.len();
            self.hand = index + 1;
            let can_go = self.slots[index]
                .as_ref()
                .is_some_and(|slot| slot.activity.can_go());
            if can_go && let Some(slot) = self.remove(index) {
                slot.activity.tell(Order::End);
                return true;
            }
        }
        false
    }
}

impl ConnectionSlot {
    /// The state of the connection.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        // If this connection was shed, another one may occupy the slot by now.
        let is_mine = |slot: &Slot| Arc::ptr_eq(&slot.activity, &self.activity);
        if table
            .slots
            .get(self.index)
            .and_then(Option::as_ref)
            .is_some_and(is_mine)
        {
            table.remove(self.index);
        }
    }
}

/// The subscriber of an address: an IPv4 address in any notation, or the provider's part of an IPv6
/// address.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SUBSCRIBER).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::Version;

    use super::*;

    fn enter(connections: &Arc<Connections>, address: &str) -> Result<ConnectionSlot, Refused> {
        connections.enter(address.parse().unwrap(), Instant::now())
    }

    fn order(slot: &ConnectionSlot) -> Order {
        slot.activity.order(Waker::noop())
    }

    #[test]
    fn an_address_has_its_share() {
        let connections = Arc::new(Connections::new(10, 2));
        let first = enter(&connections, "192.0.2.1").unwrap();
        let _second = enter(&connections, "::ffff:192.0.2.1").unwrap();
        assert_eq!(enter(&connections, "192.0.2.1").err(), Some(Refused::Address));
        let _other = enter(&connections, "192.0.2.2").unwrap();
        drop(first);
        let _third = enter(&connections, "192.0.2.1").unwrap();
        assert_eq!((connections.open(), connections.refused()), (3, 1));
    }

    #[test]
    fn a_subscriber_of_ipv6_counts_once() {
        let connections = Arc::new(Connections::new(10, 1));
        let _place = enter(&connections, "2001:db8:0:1::1").unwrap();
        assert_eq!(
            enter(&connections, "2001:db8:0:1:ffff::2").err(),
            Some(Refused::Address)
        );
        enter(&connections, "2001:db8:0:2::1").unwrap();
    }

    #[test]
    fn the_oldest_silent_connection_makes_room() {
        let connections = Arc::new(Connections::new(3, 10));
        let slots: Vec<ConnectionSlot> = (0..3)
            .map(|_| enter(&connections, "192.0.2.1").unwrap())
            .collect();
        let _request = slots[0].activity.begin(Instant::now(), Version::HTTP_11);
        drop(slots[1].activity.begin(Instant::now(), Version::HTTP_11));
        let late = enter(&connections, "192.0.2.2").unwrap();
        assert_eq!(
            slots.iter().map(order).collect::<Vec<_>>(),
            [Order::Serve, Order::Serve, Order::End]
        );
        assert_eq!((connections.open(), connections.shed()), (3, 1));

        // A shed connection frees only its own slot.
        drop(slots);
        assert_eq!(connections.open(), 1);
        drop(late);
        assert_eq!(connections.open(), 0);
    }

    #[test]
    fn where_all_are_busy_nobody_has_to_go() {
        let connections = Arc::new(Connections::new(2, 10));
        let slots: Vec<ConnectionSlot> = (0..2)
            .map(|_| enter(&connections, "192.0.2.1").unwrap())
            .collect();
        let requests: Vec<_> = slots
            .iter()
            .map(|slot| slot.activity.begin(Instant::now(), Version::HTTP_11))
            .collect();
        assert_eq!(enter(&connections, "192.0.2.2").err(), Some(Refused::Busy));
        drop(requests);
        enter(&connections, "192.0.2.2").unwrap();
    }

    #[test]
    fn an_order_reaches_all() {
        let connections = Arc::new(Connections::new(2, 10));
        let slots: Vec<ConnectionSlot> = (0..2)
            .map(|_| enter(&connections, "192.0.2.1").unwrap())
            .collect();
        connections.tell(Order::Finish);
        assert!(slots.iter().all(|slot| order(slot) == Order::Finish));
    }
}
