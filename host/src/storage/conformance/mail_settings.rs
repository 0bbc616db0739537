//! Conformance tests of the settings of mail and of the suppression list.

use std::collections::BTreeSet;

use super::{change, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::id::{MailId, TenantId};
use crate::domain::mail_failures::{MailFailureRule, MailFailures, SimulatedFailure};
use crate::domain::resource::Resource;
use crate::domain::smtp::{SmtpSecurity, SmtpSettings};
use crate::domain::suppression::{AddressKey, Suppression, SuppressionReason};
use crate::storage::{AuditFilter, DbError, Page, Repository};

fn key(address: &str) -> AddressKey {
    address.parse().unwrap()
}

fn suppression(address: &str, reason: SuppressionReason) -> Suppression {
    Suppression {
        address: key(address),
        reason,
        detail: Some("550 5.1.1 no such user".to_owned()),
        mail: Some(MailId::generate()),
        created_at: Timestamp(2_000),
    }
}

async fn audited(repository: &dyn Repository, tenant: TenantId) -> usize {
    let entries = repository
        .audit(Some(tenant), &AuditFilter::default(), Page::first(99))
        .await;
    entries.unwrap().len()
}

pub async fn settings_of_mail_are_set_and_removed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    assert_eq!(repository.smtp_settings(acme).await.unwrap(), None);
    let mut settings = SmtpSettings {
        host: "smtp.example.com".to_owned(),
        port: 587,
        security: SmtpSecurity::Starttls,
        username: Some("shop".to_owned()),
        password_secret: Some("smtp_password".to_owned()),
    };
    for port in [587, 2525] {
        settings.port = port;
        repository
            .put_smtp_settings(acme, &settings, &change(2_000))
            .await
            .unwrap();
        assert_eq!(
            repository.smtp_settings(acme).await.unwrap(),
            Some(settings.clone())
        );
    }
    assert_eq!(repository.smtp_settings(other).await.unwrap(), None);
    assert!(
        repository
            .delete_smtp_settings(acme, &change(2_000))
            .await
            .unwrap()
    );
    let before = audited(repository, acme).await;
    assert!(
        !repository
            .delete_smtp_settings(acme, &change(2_000))
            .await
            .unwrap()
    );
    assert_eq!(audited(repository, acme).await, before);

    let failures = MailFailures {
        rules: vec![MailFailureRule {
            recipient: "*@example.com".to_owned(),
            failure: SimulatedFailure::Temporary,
            probability: 50,
        }],
    };
    assert_eq!(
        repository.mail_failures(acme).await.unwrap(),
        MailFailures::default()
    );
    repository
        .put_mail_failures(acme, &failures, &change(2_000))
        .await
        .unwrap();
    assert_eq!(repository.mail_failures(acme).await.unwrap(), failures);

    let nobody = TenantId::generate();
    let error = repository
        .put_smtp_settings(nobody, &settings, &change(2_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Tenant)), "{error:?}");
}

pub async fn sender_domains_are_replaced_as_a_whole(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    for domains in [["a.example", "b.example"].as_slice(), &["c.example"], &[]] {
        let domains: BTreeSet<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
        repository
            .put_sender_domains(acme, &domains, &change(2_000))
            .await
            .unwrap();
        assert_eq!(repository.sender_domains(acme).await.unwrap(), domains);
        assert!(repository.sender_domains(other).await.unwrap().is_empty());
    }
    let error = repository
        .put_sender_domains(TenantId::generate(), &BTreeSet::new(), &change(2_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Tenant)), "{error:?}");
}

pub async fn the_key_of_unsubscriptions_is_made_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let ada = key("ada@example.com");
    let token = repository.unsubscribe_key(acme).await.unwrap().token(acme, &ada);
    let again = repository.unsubscribe_key(acme).await.unwrap();
    assert_eq!(again.open(acme, &token), Some(ada));
    let others = repository.unsubscribe_key(other).await.unwrap();
    assert_eq!(others.open(acme, &token), None);
    let nobody = repository.unsubscribe_key(TenantId::generate()).await;
    assert!(matches!(nobody, Err(DbError::Missing(Resource::Tenant))));
}

pub async fn an_address_is_suppressed_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let first = suppression("Ada@Example.com", SuppressionReason::Rejected);
    assert!(repository.suppress(acme, &first, &change(2_000)).await.unwrap());
    let audit = audited(repository, acme).await;
    let second = suppression("ada@example.com", SuppressionReason::Added);
    assert!(!repository.suppress(acme, &second, &change(2_000)).await.unwrap());
    assert_eq!(audited(repository, acme).await, audit);
    for address in ["bob@example.com", "cleo@example.com"] {
        let more = suppression(address, SuppressionReason::Unsubscribed);
        assert!(repository.suppress(acme, &more, &change(2_000)).await.unwrap());
    }

    let asked = [
        key("ada@example.com"),
        key("eve@example.com"),
        key("cleo@example.com"),
    ];
    let found = repository.suppressed(acme, &asked).await.unwrap();
    assert_eq!(found, BTreeSet::from([asked[0].clone(), asked[2].clone()]));
    assert!(repository.suppressed(other, &asked).await.unwrap().is_empty());
    assert!(repository.suppressed(acme, &[]).await.unwrap().is_empty());

    let page = repository.suppressions(acme, Page::first(2)).await.unwrap();
    assert_eq!(page[0], first);
    assert_eq!(page.len(), 2);
    let rest = repository
        .suppressions(acme, Page::after(page[1].address.clone(), 2))
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].address, asked[2]);
    let counts = repository.counts(acme, Timestamp(2_000)).await.unwrap();
    assert_eq!(counts.suppressions, 3);

    assert!(
        repository
            .unsuppress(acme, &asked[0], &change(2_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .unsuppress(acme, &asked[0], &change(2_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .unsuppress(other, &asked[2], &change(2_000))
            .await
            .unwrap()
    );
    assert_eq!(repository.suppressed(acme, &asked).await.unwrap().len(), 1);
}
