//! `[retention]`: how long records are kept.

use serde::{Deserialize, Serialize};

use crate::domain::units::Span;

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSection {
    /// Invocation records and log lines. The hourly usage is kept.
    pub invocations: Span,
    /// Jobs that are done or cancelled, with their attempts.
    pub jobs: Span,
    /// Dead letters: jobs that failed for good.
    pub dead_jobs: Span,
    /// Deliveries of webhooks that were delivered or given up, with their bodies and attempts.
    pub deliveries: Span,
    /// Mail that was sent or caught, or given up, with its content.
    pub mails: Span,
    /// Received webhooks whose job has ended, with their headers and bodies.
    pub webhooks: Span,
    /// Deleted tenants and plugins. They can be restored until this time has passed.
    pub deleted: Span,
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self {
            invocations: Span::s(30 * 24 * 60 * 60),
            jobs: Span::s(24 * 60 * 60),
            dead_jobs: Span::s(14 * 24 * 60 * 60),
            deliveries: Span::s(30 * 24 * 60 * 60),
            mails: Span::s(30 * 24 * 60 * 60),
            webhooks: Span::s(7 * 24 * 60 * 60),
            deleted: Span::s(7 * 24 * 60 * 60),
        }
    }
}
