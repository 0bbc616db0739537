//! Metrics of mail.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts what becomes of mail on this node.
        #[derive(Debug, Default)]
        pub struct MailCounters {
            $($name: AtomicU64,)+
        }

        /// What has become of mail since the start of this node.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MailFigures {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl MailCounters {
            $($(#[doc = $doc])+ pub fn $name(&self) {
                self.$name.fetch_add(1, Ordering::Relaxed);
            })+

            /// The counts.
            pub fn figures(&self) -> MailFigures {
                MailFigures {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                }
            }
        }

        impl MailFigures {
            /// The counts by name.
            pub fn by_outcome(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counters! {
    /// Plugins added a mail.
    queued,
    /// A server accepted a mail.
    sent,
    /// The catcher kept a mail.
    caught,
    /// An attempt failed, and the mail is tried again.
    retried,
    /// A mail failed for good.
    failed,
    /// A recipient was left out, because its address is on the suppression list.
    suppressed,
    /// Somebody unsubscribed.
    unsubscribed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_on_its_own() {
        let counters = MailCounters::default();
        counters.sent();
        counters.sent();
        counters.unsubscribed();
        let figures = counters.figures();
        assert_eq!((figures.sent, figures.unsubscribed, figures.failed), (2, 1, 0));
        assert!(figures.by_outcome().contains(&("sent", 2)));
    }
}
