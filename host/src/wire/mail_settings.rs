//! JSON of settings for mail and of the suppression list.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::MailId;
use crate::domain::smtp::SmtpSettings;
use crate::domain::suppression::{AddressKey, SuppressionReason};

/// An address to which a tenant's plugins send no mail.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SuppressionView {
    /// The address, in lower case.
    pub address: AddressKey,
    /// Why it is on the list.
    pub reason: SuppressionReason,
    /// What the server answered, or what somebody noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The mail that the server refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailId>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// An address that somebody adds to the suppression list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSuppression {
    /// The address.
    pub address: AddressKey,
    /// A note on why, for people: 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The domains from which a tenant may send mail.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SenderDomainsView {
    /// The domains, without their subdomains.
    pub domains: BTreeSet<String>,
}

/// A tenant's own mail server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SmtpView {
    /// The settings; absent if the tenant uses the mail server of the host, or its catcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<SmtpSettings>,
    /// Whether the secret with the password is set; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_is_set: Option<bool>,
}
