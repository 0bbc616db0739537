//! Metrics of outbound webhooks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what becomes of attempts to deliver.
#[derive(Debug, Default)]
pub struct DeliveryCounters {
    delivered: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    postponed: AtomicU64,
    cancelled: AtomicU64,
    disabled: AtomicU64,
}

/// What has become of deliveries since the start of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryTotals {
    /// Attempts that an endpoint accepted.
    pub delivered: u64,
    /// Failed attempts after which the delivery is sent again.
    pub retried: u64,
    /// Failed attempts that were the last ones.
    pub failed: u64,
    /// Deliveries that were not sent because their endpoint was not to be called then.
    pub postponed: u64,
    /// Deliveries that were given up because their endpoint was disabled.
    pub cancelled: u64,
    /// Endpoints that this node disabled.
    pub disabled: u64,
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        impl DeliveryCounters {
            $(
                $(#[doc = $doc])+
                pub fn $name(&self) {
                    self.$name.fetch_add(1, Ordering::Relaxed);
                }
            )+

            /// The counts so far.
            pub fn totals(&self) -> DeliveryTotals {
                DeliveryTotals { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Counts an accepted attempt.
    delivered;
    /// Counts a failed attempt that is not the last one.
    retried;
    /// Counts a failed attempt that is the last one.
    failed;
    /// Counts a delivery that was not sent yet.
    postponed;
    /// Counts a delivery that was given up.
    cancelled;
    /// Counts an endpoint that was disabled.
    disabled;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_on_its_own() {
        let counters = DeliveryCounters::default();
        counters.delivered();
        counters.postponed();
        counters.postponed();
        let wanted = DeliveryTotals {
            delivered: 1,
            postponed: 2,
            ..DeliveryTotals::default()
        };
        assert_eq!(counters.totals(), wanted);
    }
}
