//! Jobs that the host runs itself, on the same queue as the jobs of plugins.

use std::time::Duration;

use super::clock::Timestamp;
use super::id::{JobId, JobName, PluginName, TenantId};
use super::job::{Backoff, JobOrigin, NewJob};
use super::units::Span;

/// A kind of job that the host runs itself. The payload is the id of what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostJob {
    /// Sends a mail.
    Mail,
    /// Delivers an event to an endpoint of the tenant.
    Delivery,
}

impl HostJob {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Delivery];

    /// The name as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Delivery => "delivery",
        }
    }

    /// The name of the kind of job.
    pub fn name(self) -> JobName {
        self.as_str()
            .parse()
            .expect("the names of host jobs are names of jobs")
    }

    /// The kind with this name, if the host runs the job.
    pub fn of(plugin: &PluginName, name: &JobName) -> Option<Self> {
        let mut kinds = Self::ALL.into_iter().filter(|_| plugin.is_host());
        kinds.find(|kind| kind.as_str() == name.as_str())
    }

    /// The longest time of one attempt.
    pub fn wall(self) -> Duration {
        match self {
            Self::Mail => Duration::from_secs(120),
            Self::Delivery => Duration::from_secs(30),
        }
    }

    /// How often it is tried at most. A delivery is tried after each wait of its schedule, and a
    /// mail for about 18 hours.
    pub fn max_attempts(self) -> u32 {
        match self {
            Self::Mail => 16,
            Self::Delivery => 8,
        }
    }

    /// How long it waits after a failure, unless its handler says how long.
    pub fn backoff(self) -> Backoff {
        match self {
            Self::Mail => Backoff {
                initial: Span::s(30),
                max: Span::s(2 * 60 * 60),
            },
            Self::Delivery => Backoff {
                initial: Span::s(5),
                max: Span::s(10 * 60 * 60),
            },
        }
    }

    /// A job that is due now.
    pub fn job(self, tenant: TenantId, payload: String, now: Timestamp) -> NewJob {
        NewJob {
            id: JobId::generate(),
            tenant,
            plugin: PluginName::host(),
            name: self.name(),
            payload: payload.into(),
            origin: JobOrigin::Enqueued,
            priority: 0,
            run_at: now,
            max_attempts: self.max_attempts(),
            backoff: self.backoff(),
            unique_key: None,
            concurrency: None,
            depth: 0,
            traceparent: None,
            created_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_job_is_known_by_both_names() {
        for kind in HostJob::ALL {
            assert_eq!(HostJob::of(&PluginName::host(), &kind.name()), Some(kind));
            let plugin = "orders".parse().unwrap();
            assert_eq!(HostJob::of(&plugin, &kind.name()), None);
        }
        let other = "report".parse().unwrap();
        assert_eq!(HostJob::of(&PluginName::host(), &other), None);
    }

    #[test]
    fn a_host_job_is_due_at_once_and_names_the_host() {
        let now = Timestamp(7);
        let job = HostJob::Mail.job(TenantId::generate(), "id".to_owned(), now);
        assert!(job.plugin.is_host());
        assert_eq!((job.name.as_str(), &*job.payload), ("mail", "id"));
        assert_eq!((job.run_at, job.created_at, job.max_attempts), (now, now, 16));
    }
}
