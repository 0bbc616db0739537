//! Conformance tests of lists, searches and changes of mail.

use super::{change, name, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::host_job::HostJob;
use crate::domain::id::{MailId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::mail::{
    Mail, MailContent, MailState, NewMail, Outcome, Recipient, RecipientKind, RecipientState,
};
use crate::storage::{JobFilter, MailAdded, MailFilter, MailPosition, MailTotals, Page, Repository, Resent};

/// Adds a mail that waits for its job.
pub async fn mail_to(
    repository: &dyn Repository,
    tenant: TenantId,
    addresses: &[&str],
    subject: &str,
    at: i64,
) -> MailId {
    let id = MailId::generate();
    let job = HostJob::Mail.job(tenant, id.to_string(), Timestamp(at));
    let recipient = |address: &&str| Recipient {
        address: address.parse().unwrap(),
        kind: RecipientKind::To,
        state: RecipientState::Pending,
        reply: None,
        at: None,
    };
    let mail = Mail {
        id,
        tenant,
        plugin: name("orders"),
        from: "shop@acme.example".parse().unwrap(),
        subject: subject.to_owned(),
        tags: vec!["receipt".to_owned()],
        template: None,
        state: MailState::Queued,
        job: job.id,
        size: 100,
        attachments: Vec::new(),
        idempotency_key: None,
        created_at: Timestamp(at),
        ended_at: None,
        error: None,
        recipients: addresses.iter().map(recipient).collect(),
    };
    let content = MailContent {
        text: format!("Your order: 100% of {subject}"),
        html: None,
        source: b"Subject: x\r\n\r\n".to_vec(),
    };
    let added = repository
        .add_mail(&NewMail { mail, content }, &job, 1_000)
        .await
        .unwrap();
    assert_eq!(added, MailAdded::New(id));
    id
}

async fn found(repository: &dyn Repository, tenant: TenantId, filter: &MailFilter) -> Vec<MailId> {
    let found = repository.mails(tenant, filter, Page::first(99)).await.unwrap();
    found.into_iter().map(|mail| mail.id).collect()
}

/// Records that a mail ended, with the same state for all of its recipients.
async fn end(
    repository: &dyn Repository,
    tenant: TenantId,
    id: MailId,
    addresses: &[&str],
    state: (MailState, RecipientState),
) {
    let outcome = |address: &&str| Outcome {
        address: address.parse().unwrap(),
        state: state.1,
        reply: Some("said".to_owned()),
    };
    let outcomes: Vec<Outcome> = addresses.iter().map(outcome).collect();
    repository
        .note_sent(tenant, id, &outcomes, state.0, None, Timestamp(9_000))
        .await
        .unwrap();
}

pub async fn mail_is_filtered_and_paged_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let first = mail_to(repository, acme, &["Ada@x.example"], "Order 7", 1_000).await;
    let second = mail_to(
        repository,
        acme,
        &["bob@x.example", "ada@x.example"],
        "Refund",
        2_000,
    )
    .await;
    let third = mail_to(repository, acme, &["bob@y.example"], "Order 8_a", 3_000).await;
    mail_to(repository, other, &["ada@x.example"], "Order 7", 3_000).await;
    let all = MailFilter::default();
    assert_eq!(found(repository, acme, &all).await, [third, second, first]);
    let page = repository.mails(acme, &all, Page::first(2)).await.unwrap();
    assert_eq!(page[0].recipients.len(), 1);
    let rest = repository
        .mails(acme, &all, Page::after(MailPosition(page[1].id), 2))
        .await
        .unwrap();
    assert_eq!((rest.len(), rest[0].id), (1, first));

    end(
        repository,
        acme,
        third,
        &["bob@y.example"],
        (MailState::Failed, RecipientState::Refused),
    )
    .await;
    let text = |text: &str| MailFilter {
        text: Some(text.to_owned()),
        ..MailFilter::default()
    };
    let cases: [(MailFilter, &[MailId]); 11] = [
        (
            MailFilter {
                recipient: Some("ADA@x.example".parse().unwrap()),
                ..MailFilter::default()
            },
            &[second, first],
        ),
        (
            MailFilter {
                states: vec![MailState::Failed],
                ..MailFilter::default()
            },
            &[third],
        ),
        (
            MailFilter {
                plugin: Some(name("billing")),
                ..MailFilter::default()
            },
            &[],
        ),
        (
            MailFilter {
                tag: Some("receipt".to_owned()),
                from: Some(Timestamp(2_000)),
                to: Some(Timestamp(3_000)),
                ..MailFilter::default()
            },
            &[second],
        ),
        (text("order 7"), &[first]),
        (text("8_A"), &[third]),
        (text("8%a"), &[]),
        (text("y.example"), &[third]),
        (text("your order: 100%"), &[third, second, first]),
        (text("shop@"), &[third, second, first]),
        (text("'; DROP TABLE mails; --"), &[]),
    ];
    for (filter, wanted) in cases {
        assert_eq!(found(repository, acme, &filter).await, wanted, "{filter:?}");
    }
    let totals = repository.mail_totals().await.unwrap();
    assert_eq!(
        totals,
        MailTotals {
            queued: 3,
            caught: 0,
            failed: 1
        }
    );
}

pub async fn mail_is_sent_again_to_those_who_did_not_accept_it(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let addresses = ["ada@x.example", "bob@x.example"];
    let id = mail_to(repository, acme, &addresses, "Order 7", 1_000).await;
    let job = || HostJob::Mail.job(acme, id.to_string(), Timestamp(5_000));
    let resend = async |job: NewJob| {
        let resent = repository.resend_mail(acme, id, &job, &change(5_000)).await;
        resent.unwrap()
    };
    assert_eq!(resend(job()).await, Some(Resent::Waits));
    let states = async || {
        let mail = repository.mail(acme, id).await.unwrap().unwrap();
        let states = mail.recipients.iter().map(|recipient| recipient.state);
        (mail.state, mail.job, states.collect::<Vec<_>>())
    };
    for ada in [RecipientState::Accepted, RecipientState::Refused] {
        let wanted = match ada {
            // Bob did not accept it.
            RecipientState::Accepted => [RecipientState::Accepted, RecipientState::Pending],
            _ => [RecipientState::Pending, RecipientState::Pending],
        };
        end(repository, acme, id, &addresses[..1], (MailState::Failed, ada)).await;
        end(
            repository,
            acme,
            id,
            &addresses[1..],
            (MailState::Failed, RecipientState::Failed),
        )
        .await;
        let job = job();
        let job_id = job.id;
        assert_eq!(resend(job).await, Some(Resent::Queued));
        assert_eq!(states().await, (MailState::Queued, job_id, wanted.to_vec()));
        let (stored, _) = repository.job(acme, job_id).await.unwrap().unwrap();
        assert_eq!(&*stored.new.payload, id.to_string());
        // Ada gets it again in the next round.
        let all = (MailState::Sent, RecipientState::Accepted);
        end(repository, acme, id, &addresses, all).await;
        let later = HostJob::Mail.job(acme, id.to_string(), Timestamp(6_000));
        assert_eq!(resend(later).await, Some(Resent::Queued));
        assert_eq!(states().await.2, [RecipientState::Pending; 2]);
    }
    // Without its job, a mail waits for nothing.
    assert_eq!(resend(job()).await, Some(Resent::Waits));
    repository
        .purge_jobs(acme, &JobFilter::default(), 99, &change(7_000))
        .await
        .unwrap();
    assert_eq!(resend(job()).await, Some(Resent::Queued));
    let other = tenant(repository, "other").await.id;
    let nowhere = repository.resend_mail(other, id, &job(), &change(5_000)).await;
    assert_eq!(nowhere.unwrap(), None);
}

pub async fn deleted_mail_leaves_nothing(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let mut ids = Vec::new();
    for number in 0..5 {
        let address = if number % 2 == 0 {
            "ada@x.example"
        } else {
            "bob@x.example"
        };
        ids.push(mail_to(repository, acme, &[address], "Order", number).await);
    }
    assert!(
        !repository
            .delete_mail(other, ids[1], &change(9_000))
            .await
            .unwrap()
    );
    assert!(
        repository
            .delete_mail(acme, ids[1], &change(9_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_mail(acme, ids[1], &change(9_000))
            .await
            .unwrap()
    );
    assert!(repository.mail(acme, ids[1]).await.unwrap().is_none());
    assert!(repository.mail_content(acme, ids[1]).await.unwrap().is_none());
    // The job that would have sent it stays, and finds nothing.
    let jobs = repository
        .jobs(acme, &JobFilter::default(), Page::first(99))
        .await
        .unwrap();
    assert_eq!(jobs.len(), 5);

    let to_ada = MailFilter {
        recipient: Some("ada@x.example".parse().unwrap()),
        ..MailFilter::default()
    };
    let delete = async |limit: u32| {
        let deleted = repository
            .delete_mails(acme, &to_ada, limit, &change(9_000))
            .await;
        deleted.unwrap()
    };
    assert_eq!(delete(2).await, 2);
    assert_eq!(delete(2).await, 1);
    assert_eq!(delete(2).await, 0);
    assert_eq!(found(repository, acme, &MailFilter::default()).await, [ids[3]]);
}
