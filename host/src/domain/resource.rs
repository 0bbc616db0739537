//! The kinds of resources that errors name.

use std::fmt;

/// A kind of resource that can be missing, taken or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A tenant.
    Tenant,
    /// A plan.
    Plan,
    /// A plugin of a tenant.
    Plugin,
    /// A version of a plugin.
    Version,
    /// An activation of a version.
    Activation,
    /// A secret of a tenant.
    Secret,
    /// A setting of a plugin.
    Setting,
    /// An API key of a tenant.
    ApiKey,
    /// A token of the admin API.
    Token,
    /// A record of an invocation.
    Invocation,
    /// A job.
    Job,
    /// A kind of job that a plugin declares.
    JobKind,
    /// A schedule of a plugin.
    Schedule,
    /// An endpoint that gets webhooks.
    Endpoint,
    /// A delivery of a webhook.
    Delivery,
    /// A mail.
    Mail,
    /// A mail server of a tenant.
    MailServer,
    /// An address on a suppression list.
    Suppression,
    /// A webhook that was received.
    ReceivedWebhook,
    /// An address in the admin API.
    Address,
    /// A page that explains the code of a problem.
    ProblemPage,
}

impl Resource {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::Tenant,
        Self::Plan,
        Self::Plugin,
        Self::Version,
        Self::Activation,
        Self::Secret,
        Self::Setting,
        Self::ApiKey,
        Self::Token,
        Self::Invocation,
        Self::Job,
        Self::JobKind,
        Self::Schedule,
        Self::Endpoint,
        Self::Delivery,
        Self::Mail,
        Self::MailServer,
        Self::Suppression,
        Self::ReceivedWebhook,
        Self::Address,
        Self::ProblemPage,
    ];
}

/// The name within a sentence: "there is no such tenant".
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Plan => "plan",
            Self::Plugin => "plugin",
            Self::Version => "version",
            Self::Activation => "activation",
            Self::Secret => "secret",
            Self::Setting => "setting",
            Self::ApiKey => "API key",
            Self::Token => "token",
            Self::Invocation => "invocation",
            Self::Job => "job",
            Self::JobKind => "kind of job",
            Self::Schedule => "schedule",
            Self::Endpoint => "endpoint",
            Self::Delivery => "delivery",
            Self::Mail => "mail",
            Self::MailServer => "mail server of the tenant",
            Self::Suppression => "address on the suppression list",
            Self::ReceivedWebhook => "received webhook",
            Self::Address => "address in the admin API",
            Self::ProblemPage => "problem",
        })
    }
}
