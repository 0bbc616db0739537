//! Metrics of received webhooks.

/// What has become of requests to webhooks since the start of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookTotals {
    /// Webhooks that were stored and got a job.
    pub stored: u64,
    /// Messages that were stored before.
    pub repeated: u64,
    /// Requests whose signature or time was wrong.
    pub refused: u64,
    /// Requests that could not be stored: no secret is set, there is no room, or the queue cannot
    /// be written. Their senders try again.
    pub deferred: u64,
}
