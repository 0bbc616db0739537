//! Counters of the ledger.

/// What the ledger has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Entries written.
    pub written: u64,
    /// Entries dropped because the queue was full. Their usage is not.
    pub dropped: u64,
    /// Entries that went without their log lines because too many bytes of them were waiting.
    pub without_lines: u64,
    /// Entries given up because the database refused them again and again. Their usage is not.
    pub lost: u64,
}
