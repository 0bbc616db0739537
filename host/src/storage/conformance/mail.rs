//! Conformance tests of stored mail, and of the ends of the host's own jobs.

use std::time::Duration;

use super::{change, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::host_job::HostJob;
use crate::domain::id::{JobName, MailId, PluginName, TenantId};
use crate::domain::job::{Acknowledgement, Ending, JobState, NewJob};
use crate::domain::mail::{
    Mail, MailContent, MailState, NewMail, Outcome, Recipient, RecipientKind, RecipientState,
};
use crate::storage::{
    Acknowledged, ClaimPolicy, JobFilter, MAIL_HOUR, MAIL_KEY_LIFETIME, MailAdded, Page, Repository,
};

/// 2026-03-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_772_323_200_000);

struct All;

impl ClaimPolicy for All {
    fn quota(&self, _: TenantId, _: u32, _: u32) -> u32 {
        100
    }

    fn lease(&self, _: TenantId, _: &PluginName, _: &JobName) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

/// A mail to two receivers, and its job.
fn mail(tenant: TenantId, key: Option<&str>, at: Timestamp) -> (NewMail, NewJob) {
    let id = MailId::generate();
    let job = HostJob::Mail.job(tenant, id.to_string(), at);
    let recipient = |address: &str, kind| Recipient {
        address: address.parse().unwrap(),
        kind,
        state: RecipientState::Pending,
        reply: None,
        at: None,
    };
    let mail = Mail {
        id,
        tenant,
        plugin: "shop".parse().unwrap(),
        from: "shop@example.com".parse().unwrap(),
        subject: "Order".to_owned(),
        tags: vec!["order".to_owned()],
        template: None,
        state: MailState::Queued,
        job: job.id,
        size: 7,
        attachments: Vec::new(),
        idempotency_key: key.map(str::to_owned),
        created_at: at,
        ended_at: None,
        error: None,
        recipients: vec![
            recipient("ada@example.com", RecipientKind::To),
            recipient("bob@example.com", RecipientKind::Bcc),
        ],
    };
    let content = MailContent {
        text: "text".to_owned(),
        html: Some("<p>html</p>".to_owned()),
        source: b"a\r\n\xff".to_vec(),
    };
    (NewMail { mail, content }, job)
}

async fn add(repository: &dyn Repository, tenant: TenantId, at: Timestamp) -> NewMail {
    let (new, job) = mail(tenant, None, at);
    let added = repository.add_mail(&new, &job, 1_000).await.unwrap();
    assert_eq!(added, MailAdded::New(new.mail.id));
    new
}

fn outcome(address: &str, state: RecipientState) -> Outcome {
    Outcome {
        address: address.parse().unwrap(),
        state,
        reply: Some("250 ok".to_owned()),
    }
}

pub async fn a_mail_is_stored_with_its_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let new = add(repository, acme, NOW).await;
    let id = new.mail.id;
    assert_eq!(repository.mail(acme, id).await.unwrap().unwrap(), new.mail);
    assert_eq!(
        repository.mail_content(acme, id).await.unwrap().unwrap(),
        new.content
    );
    let (job, _) = repository.job(acme, new.mail.job).await.unwrap().unwrap();
    assert!(job.new.plugin.is_host());
    assert_eq!(
        (job.state, &*job.new.payload),
        (JobState::Ready, id.to_string().as_str())
    );
    let other = tenant(repository, "other").await.id;
    assert_eq!(repository.mail(other, id).await.unwrap(), None);
    assert_eq!(repository.mail_content(other, id).await.unwrap(), None);
    let host = JobFilter {
        plugin: Some(PluginName::host()),
        ..JobFilter::default()
    };
    assert_eq!(
        repository.jobs(acme, &host, Page::first(9)).await.unwrap().len(),
        1
    );
    let counts = repository
        .mail_counts(acme, NOW.saturating_sub(MAIL_HOUR))
        .await
        .unwrap();
    assert_eq!((counts.kept, counts.recent), (1, 1));
}

pub async fn a_key_of_a_mail_holds_for_a_day_and_a_plugin(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (first, job) = mail(acme, Some("k"), NOW);
    repository.add_mail(&first, &job, 9).await.unwrap();
    let just_before = Timestamp(NOW.0 + i64::try_from(MAIL_KEY_LIFETIME.as_millis()).unwrap() - 1);
    let (again, job) = mail(acme, Some("k"), just_before);
    let added = repository.add_mail(&again, &job, 9).await.unwrap();
    assert_eq!(added, MailAdded::Exists(first.mail.id));
    assert_eq!(repository.job(acme, job.id).await.unwrap(), None);
    let (mut of_other, job) = mail(acme, Some("k"), just_before);
    of_other.mail.plugin = "news".parse().unwrap();
    let added = repository.add_mail(&of_other, &job, 9).await.unwrap();
    assert_eq!(added, MailAdded::New(of_other.mail.id));
    let (later, job) = mail(acme, Some("k"), NOW.saturating_add(MAIL_KEY_LIFETIME));
    let added = repository.add_mail(&later, &job, 9).await.unwrap();
    assert_eq!(added, MailAdded::New(later.mail.id));
}

pub async fn a_tenant_sends_so_many_mails_within_an_hour(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    for _ in 0..2 {
        let (new, job) = mail(acme, None, NOW);
        let added = repository.add_mail(&new, &job, 2).await.unwrap();
        assert_eq!(added, MailAdded::New(new.mail.id));
    }
    let (new, job) = mail(acme, None, Timestamp(NOW.0 + 1));
    assert_eq!(
        repository.add_mail(&new, &job, 2).await.unwrap(),
        MailAdded::TooMany
    );
    let other = tenant(repository, "other").await.id;
    add(repository, other, NOW).await;
    let (new, job) = mail(acme, None, NOW.saturating_add(MAIL_HOUR));
    let added = repository.add_mail(&new, &job, 2).await.unwrap();
    assert_eq!(added, MailAdded::New(new.mail.id));
    let gone = TenantId::generate();
    let (new, job) = mail(gone, None, NOW);
    assert_eq!(
        repository.add_mail(&new, &job, 2).await.unwrap(),
        MailAdded::NoTenant
    );
}

pub async fn what_became_of_a_mail_is_noted_once_for_each_receiver(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let new = add(repository, acme, NOW).await;
    let id = new.mail.id;
    let first = [
        outcome("ada@example.com", RecipientState::Accepted),
        outcome("bob@example.com", RecipientState::Pending),
    ];
    let noted = repository.note_sent(acme, id, &first, MailState::Queued, Some("busy"), NOW);
    assert!(noted.await.unwrap());
    // A receiver who has the mail keeps it, whatever a lost attempt says later.
    let second = [outcome("ada@example.com", RecipientState::Refused)];
    repository
        .note_sent(acme, id, &second, MailState::Queued, None, NOW)
        .await
        .unwrap();
    let found = repository.mail(acme, id).await.unwrap().unwrap();
    assert_eq!(found.recipients[0].state, RecipientState::Accepted);
    assert_eq!(found.pending(), [found.recipients[1].address.clone()]);
    assert_eq!(
        (found.state, found.ended_at, found.error),
        (MailState::Queued, None, None)
    );

    repository.fail_mail(acme, id, "given up", NOW).await.unwrap();
    let found = repository.mail(acme, id).await.unwrap().unwrap();
    assert_eq!((found.state, found.ended_at), (MailState::Sent, Some(NOW)));
    assert_eq!(found.recipients[1].state, RecipientState::Failed);
    // It left the queue, so it stays as it is.
    repository.fail_mail(acme, id, "again", NOW).await.unwrap();
    let found = repository.mail(acme, id).await.unwrap().unwrap();
    assert_eq!(found.error.as_deref(), Some("given up"));

    let lost = add(repository, acme, NOW).await.mail.id;
    repository.fail_mail(acme, lost, "given up", NOW).await.unwrap();
    let found = repository.mail(acme, lost).await.unwrap().unwrap();
    assert_eq!(found.state, MailState::Failed);
    let unknown = repository.note_sent(acme, MailId::generate(), &[], MailState::Sent, None, NOW);
    assert!(!unknown.await.unwrap());
}

pub async fn old_mail_and_too_much_of_it_is_deleted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let mut ids = Vec::new();
    for at in [1_000, 2_000, 3_000, 4_000] {
        let id = add(repository, acme, Timestamp(at)).await.mail.id;
        ids.push(id);
    }
    // What waits is not deleted.
    assert_eq!(repository.prune_mails(NOW, 10).await.unwrap(), 0);
    assert_eq!(repository.trim_mails(acme, 0, 10).await.unwrap(), 0);
    for id in &ids {
        repository
            .note_sent(acme, *id, &[], MailState::Sent, None, NOW)
            .await
            .unwrap();
    }
    assert_eq!(repository.prune_mails(Timestamp(2_000), 10).await.unwrap(), 1);
    assert_eq!(repository.mail(acme, ids[0]).await.unwrap(), None);
    assert_eq!(repository.mail_content(acme, ids[0]).await.unwrap(), None);
    assert_eq!(repository.tenants_with_mails().await.unwrap(), [(acme, 3)]);
    assert_eq!(repository.trim_mails(acme, 1, 1).await.unwrap(), 1);
    assert_eq!(repository.trim_mails(acme, 1, 10).await.unwrap(), 1);
    assert_eq!(repository.trim_mails(acme, 1, 10).await.unwrap(), 0);
    assert!(repository.mail(acme, ids[3]).await.unwrap().is_some());
    // A mail whose job somebody purged waits for nothing.
    let stuck = add(repository, acme, Timestamp(5_000)).await.mail.id;
    repository
        .purge_jobs(acme, &JobFilter::default(), 10, &change(1))
        .await
        .unwrap();
    assert_eq!(repository.prune_mails(NOW, 10).await.unwrap(), 2);
    assert_eq!(repository.mail(acme, stuck).await.unwrap(), None);
    add(repository, acme, NOW).await;
    assert!(repository.purge_tenant(acme, &change(2)).await.unwrap());
    assert!(repository.tenants_with_mails().await.unwrap().is_empty());
}

pub async fn handlers_learn_which_jobs_of_the_host_were_given_up(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let new = add(repository, acme, NOW).await;
    let cancelled = add(repository, acme, NOW).await;
    let done = add(repository, acme, NOW).await;
    repository
        .cancel_job(acme, cancelled.mail.job, NOW, &change(1))
        .await
        .unwrap();
    let round = repository.claim_jobs("node", None, 10, NOW, &All).await.unwrap();
    assert_eq!(round.claimed.len(), 2);
    for claimed in &round.claimed {
        let is_done = claimed.job.new.id == done.mail.job;
        let ending = match is_done {
            true => Ending::Done,
            false => Ending::Dead {
                error: "no".to_owned(),
            },
        };
        let ended = Acknowledgement {
            job: claimed.job.new.id,
            claim: claimed.claim,
            ending,
            ended_at: NOW,
            invocation: None,
        };
        let state = if is_done { JobState::Done } else { JobState::Dead };
        let written = repository.acknowledge_jobs(&[ended]).await.unwrap();
        assert_eq!(written, [Acknowledged::Applied(state)]);
    }
    let given_up = repository.given_up_host_jobs(10).await.unwrap();
    let payloads: Vec<&str> = given_up.iter().map(|job| &*job.new.payload).collect();
    let wanted = [new.mail.id.to_string(), cancelled.mail.id.to_string()];
    assert_eq!(payloads, wanted);
    assert_eq!(given_up[0].error.as_deref(), Some("no"));
    repository.told_host_jobs(&[(acme, new.mail.job)]).await.unwrap();
    assert_eq!(repository.given_up_host_jobs(10).await.unwrap().len(), 1);
    // A job that runs again and is given up again is told again.
    repository
        .retry_job(acme, new.mail.job, NOW, &change(2))
        .await
        .unwrap();
    repository
        .cancel_job(acme, new.mail.job, NOW, &change(3))
        .await
        .unwrap();
    assert_eq!(repository.given_up_host_jobs(10).await.unwrap().len(), 2);
}
