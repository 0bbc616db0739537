//! Counters of the ledger, which writes the records of invocations.

/// The ledger's counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Entries written.
    pub written: u64,
    /// Entries dropped because the queue was full. Their usage is still recorded.
    pub dropped: u64,
    /// Entries that lost their log lines because too many bytes of lines were waiting.
    pub without_lines: u64,
    /// Entries dropped after the database failed repeatedly. Their usage is still recorded.
    pub lost: u64,
}
