//! Hints: what to do next after an error. The admin API adds them to its problems, and the command
//! line shows them.

use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::role::Role;

/// The subject of an error, if its code alone does not determine what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// The resource does not exist.
    Missing(Resource),
    /// Another resource has the name.
    NameTaken(Resource),
    /// A deleted resource had the name and can be restored.
    NameReserved(Resource),
    /// Another resource needs this one.
    InUse(Resource),
    /// The default plan cannot be deleted.
    DefaultPlan,
    /// The caller needs a token with this role.
    NeedsRole(Role),
    /// The token permits only reading the metrics.
    MetricsOnly,
    /// The tenant has reached its limit for a kind of resource.
    TooMany,
    /// A JSON body is too large.
    JsonTooLarge,
    /// No version has this name.
    NoSuchVersion,
    /// Several versions have this name.
    AmbiguousVersion,
    /// No earlier version is left.
    NoRollback,
    /// The credential was revoked before.
    RevokedBefore,
    /// The job runs.
    JobRuns,
    /// The job has ended.
    JobEnded,
    /// A live job has the same unique key.
    UniqueKeyTaken,
    /// The mail waits to be sent.
    MailWaits,
    /// The tenant has as many live jobs as its plan allows.
    BacklogFull,
    /// Only the code of the problem is known.
    Code(Code),
}

impl Hint {
    /// The text of the hint. `None` if there is nothing to do.
    pub fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::Missing(resource) => return missing(resource),
            Self::NameTaken(Resource::Tenant) => "choose another tenant name",
            Self::NameTaken(Resource::Plugin) => "choose another plugin name",
            Self::NameTaken(_) => "choose another name",
            Self::NameReserved(Resource::Plugin) => {
                "an owner of the tenant restores it with `mortise plugins restore`, or deletes it for good with \
                 `mortise plugins delete --purge`"
            }
            Self::NameReserved(_) => {
                "`mortise tenants restore` restores it, and `mortise tenants delete --purge` deletes it for good"
            }
            Self::InUse(Resource::Plan) => {
                "move the tenants that are on it to another plan first: `mortise tenants set-plan NAME PLAN` \
                 (PATCH /api/v1/tenants/{tenant}). `mortise tenants list` shows the plan of each; with \
                 `--deleted`, those that can be restored, which have to be restored or purged first"
            }
            Self::InUse(Resource::Version) => {
                "make another version the active one first: `mortise versions activate VERSION` (PUT \
                 …/activation) or `mortise rollback`"
            }
            Self::InUse(_) => "remove what uses it first",
            Self::DefaultPlan => {
                "change its limits instead: `mortise plans set` (PUT /api/v1/plans/{plan}); with `--unset`, \
                 limits of the plan go back to the defaults of the host"
            }
            Self::NeedsRole(role) => role_hint(role),
            Self::MetricsOnly => role_hint(Role::Viewer),
            Self::TooMany => {
                "remove some first, which may take an owner of the tenant, or ask the operator for a higher \
                 limit; `mortise limits show --tenant …` (GET /api/v1/tenants/{tenant}/limits) shows the limits"
            }
            Self::JsonTooLarge => "a JSON body of this API has at most 256 KiB; send less at once",
            Self::NoSuchVersion => {
                "name a version by its digest, by the first digits of it (four at least), or by the author's \
                 version"
            }
            Self::AmbiguousVersion => {
                "name one of them by its digest, or by the first digits of it (four at least)"
            }
            Self::NoRollback => {
                "activate a version by its name: `mortise versions list` (GET …/plugins/{plugin}/versions) \
                 shows those that are left"
            }
            Self::RevokedBefore => "there is nothing left to do",
            Self::JobRuns => {
                "wait until its attempt has ended, or cancel it first: `mortise jobs cancel ID --tenant …` (POST \
                 …/jobs/{id}/cancel)"
            }
            Self::JobEnded => {
                "`mortise jobs retry ID --tenant …` (POST …/jobs/{id}/retry) runs a job again that has ended"
            }
            Self::UniqueKeyTaken => {
                "wait until the other job has ended, or cancel it first; `mortise jobs list --tenant …` (GET \
                 …/jobs) shows it"
            }
            Self::MailWaits => {
                "`mortise jobs show JOB --tenant …` (GET …/jobs/{id}) shows what its job waits for, and `mortise jobs \
                 retry` runs it now"
            }
            Self::BacklogFull => {
                "wait until jobs have ended, delete some with `mortise jobs purge --tenant …` (DELETE …/jobs), or ask \
                 the operator for a higher limit; `mortise jobs summary --tenant …` (GET …/jobs/summary) shows them"
            }
            Self::Code(code) => return for_code(code),
        })
    }
}

/// The request or command that shows the existing resources.
fn missing(resource: Resource) -> Option<&'static str> {
    Some(match resource {
        Resource::Tenant => {
            "`mortise whoami` (GET /api/v1/whoami) shows the tenant of your token, which sees no other. An \
             operator lists all with `mortise tenants list` (GET /api/v1/tenants), and with `--deleted` those \
             that can be restored"
        }
        Resource::Plan => {
            "`mortise plans list` (GET /api/v1/plans) shows the plans, and `mortise plans set NAME` (PUT \
             /api/v1/plans/{plan}) creates one"
        }
        Resource::Plugin => {
            "`mortise plugins list --tenant …` (GET /api/v1/tenants/{tenant}/plugins) shows the plugins, and \
             `--deleted` those that can be restored"
        }
        Resource::Version => {
            "`mortise versions list --tenant … --plugin …` (GET …/plugins/{plugin}/versions) shows the versions"
        }
        Resource::Activation => {
            "the plugin has no active version yet; `mortise deploy` and `mortise versions activate` make one \
             active"
        }
        Resource::Secret => {
            "`mortise secrets list --tenant …` (GET /api/v1/tenants/{tenant}/secrets) shows the names"
        }
        Resource::Setting => {
            "`mortise config list --tenant … --plugin …` (GET …/plugins/{plugin}/config) shows the settings"
        }
        Resource::ApiKey => {
            "`mortise keys list --tenant …` (GET /api/v1/tenants/{tenant}/api-keys) shows the keys; they are \
             named by their id, not by their name"
        }
        Resource::Token => {
            "`mortise tokens list` (GET /api/v1/tokens, or /api/v1/tenants/{tenant}/tokens) shows the tokens; \
             they are named by their id, not by their name"
        }
        Resource::Invocation => {
            "`mortise invocations list --tenant …` (GET /api/v1/tenants/{tenant}/invocations) shows the \
             invocations that are kept; the oldest are deleted by `retention.invocations` and the limit \
             `records_kept`"
        }
        Resource::Job => {
            "`mortise jobs list --tenant …` (GET /api/v1/tenants/{tenant}/jobs) shows the jobs that are kept; those \
             that ended are deleted by `retention.jobs` and `retention.dead_jobs`, and by the limits `jobs_kept` and \
             `dead_jobs_kept`"
        }
        Resource::JobKind => {
            "the active version of the plugin has no such `[[job]]`; `mortise jobs summary --tenant …` (GET \
             /api/v1/tenants/{tenant}/jobs/summary) shows the kinds of jobs"
        }
        Resource::Schedule => {
            "`mortise schedules list --tenant …` (GET /api/v1/tenants/{tenant}/schedules) shows the schedules of the \
             active versions"
        }
        Resource::Endpoint => {
            "`mortise webhooks endpoints list --tenant …` (GET /api/v1/tenants/{tenant}/webhooks/endpoints) shows the \
             endpoints; they are named by their id"
        }
        Resource::Delivery => {
            "`mortise webhooks deliveries list --tenant …` (GET /api/v1/tenants/{tenant}/webhooks/deliveries) shows the \
             deliveries that are kept; those that ended are deleted by `retention.deliveries` and the limit \
             `deliveries_kept`"
        }
        Resource::Mail => {
            "`mortise mail list --tenant …` (GET /api/v1/tenants/{tenant}/mail) shows the mail that is kept; the oldest \
             is deleted by `retention.mails` and the limit `mails_kept`"
        }
        Resource::MailServer => {
            "the tenant uses the mail server of the host, or the catcher; `mortise mail smtp set --tenant …` (PUT \
             …/mail/smtp) sets one"
        }
        Resource::Suppression => {
            "`mortise mail suppressions list --tenant …` (GET …/mail/suppressions) shows the addresses"
        }
        Resource::ReceivedWebhook => {
            "`mortise webhooks received list --tenant …` (GET /api/v1/tenants/{tenant}/webhooks/received) shows the \
             received webhooks that are kept; the oldest are deleted by `retention.webhooks` and by the limits \
             `webhooks_kept` and `webhook_size`"
        }
        Resource::Address => "/api/v1/openapi.json lists the addresses, and /docs shows them",
        Resource::ProblemPage => return None,
    })
}

/// The hint on who can create a token with a role.
fn role_hint(role: Role) -> &'static str {
    match role {
        Role::Viewer => {
            "an owner of the tenant makes such a token: `mortise tokens create NAME --tenant … --role viewer`"
        }
        Role::Developer => {
            "an owner of the tenant makes such a token: `mortise tokens create NAME --tenant … --role developer`"
        }
        Role::Owner => {
            "ask an owner of the tenant to do this, or for such a token: `mortise tokens create NAME --tenant … \
             --role owner`"
        }
        Role::Operator => {
            "ask an operator of the host to do this; only an operator makes such a token: `mortise tokens create \
             NAME --operator`"
        }
        Role::Metrics => {
            "an operator of the host makes such a token: `mortise tokens create NAME --role metrics`"
        }
    }
}

/// The hint for the code of a problem alone.
fn for_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Unauthenticated => {
            "pass a token with --token-file, MORTISE_TOKEN or --token (`Authorization: Bearer mt_…`); the host \
             writes the first operator's to operator.token in its data folder"
        }
        Code::InsufficientScope => {
            "an owner of the tenant makes tokens of its roles, and an operator all others: `mortise tokens create`"
        }
        Code::BodyTooLarge => {
            "the limit `component_size` bounds uploads; `mortise limits show --tenant …` (GET \
             /api/v1/tenants/{tenant}/limits) shows it, and the operator sets it. Build the component for release \
             and without what it does not use"
        }
        Code::InvalidManifest => "correct plugin.toml, or what it names, at this place and build again",
        Code::CompileLimit => {
            "make the plugin smaller: build it optimised (`mortise build` does) and with fewer dependencies"
        }
        Code::GrantsMissing => {
            "an owner of the tenant grants it: `mortise deploy … --grant` grants exactly what the manifest asks \
             for"
        }
        Code::MigrationFailed => {
            "no migration of this version was applied, and what was active serves on; correct the file and deploy \
             again"
        }
        Code::RateLimited | Code::Overloaded | Code::Draining => "try again in a moment",
        Code::Unavailable => {
            "try again in a moment; if that does not help, the host's own log has the cause under the request id"
        }
        Code::Internal => "the host's own log has the cause under the request id",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_has_a_hint_that_speaks_of_it() {
        for resource in Resource::ALL {
            let hint = Hint::Missing(resource).text();
            assert_eq!(hint.is_none(), resource == Resource::ProblemPage, "{resource:?}");
        }
        for (resource, wanted) in [
            (Resource::ApiKey, "mortise keys list"),
            (Resource::Secret, "mortise secrets list"),
            (Resource::Plan, "mortise plans list"),
        ] {
            assert!(
                Hint::Missing(resource).text().unwrap().contains(wanted),
                "{resource:?}"
            );
        }
    }

    #[test]
    fn who_lacks_a_role_is_sent_to_somebody_who_can_give_it() {
        for role in Role::ALL {
            let hint = Hint::NeedsRole(role).text().unwrap();
            let giver = match role {
                Role::Operator | Role::Metrics => "operator of the host",
                Role::Viewer | Role::Developer | Role::Owner => "owner of the tenant",
            };
            assert!(hint.contains(giver), "{role}: {hint}");
        }
    }
}
