//! Conformance tests of API keys, tokens and the audit log.

use serde_json::json;

use super::{change, plugin, tenant};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::{ActorKind, Change, Difference};
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::{ApiKeyId, TenantId, TokenId};
use crate::domain::limits::LimitOverrides;
use crate::domain::tenant::Plan;
use crate::domain::token::{Reach, TenantRole, Token};
use crate::storage::{AuditFilter, Counts, Page, Repository};

/// Creates and stores an API key.
pub async fn api_key(repository: &dyn Repository, tenant: TenantId, expires_at: Option<i64>) -> ApiKey {
    let credential = Credential::generate(ApiKeyId::generate()).unwrap();
    let key = ApiKey {
        id: credential.id(),
        name: "shop".to_owned(),
        scopes: ["orders:write".to_owned()].into(),
        hash: credential.hash(),
        created_at: Timestamp(1),
        expires_at: expires_at.map(Timestamp),
        revoked_at: None,
    };
    repository.insert_api_key(tenant, &key, &change(1)).await.unwrap();
    key
}

pub async fn api_keys_are_revoked_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let lasting = api_key(repository, acme, None).await;
    let expiring = api_key(repository, acme, Some(100)).await;
    let valid = async |now| {
        let keys = repository.valid_api_keys(acme, Timestamp(now)).await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(valid(99).await, [lasting.id, expiring.id]);
    assert_eq!(valid(100).await, [lasting.id]);

    assert!(
        repository
            .revoke_api_key(acme, lasting.id, &change(50))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        repository
            .revoke_api_key(acme, lasting.id, &change(60))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(valid(50).await, [expiring.id]);
    let first = repository.api_keys(acme, Page::first(1)).await.unwrap();
    assert_eq!(first[0].revoked_at, Some(Timestamp(50)));
    assert_eq!(first[0].hash, lasting.hash);
    let found = repository.api_key(acme, lasting.id).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(Timestamp(50)));
    let other = TenantId::generate();
    assert!(repository.api_key(other, lasting.id).await.unwrap().is_none());
    assert_eq!(first[0].scopes, lasting.scopes);
    let rest = repository
        .api_keys(acme, Page::after(lasting.id, 9))
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert!(
        repository
            .revoke_api_key(acme, ApiKeyId::generate(), &change(1))
            .await
            .unwrap()
            .is_none()
    );
}

pub async fn dead_keys_are_forgotten_and_living_ones_counted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let now = Timestamp(100);
    let mut dead = Vec::new();
    for expires_at in [Some(50), None, Some(100), None] {
        let key = api_key(repository, acme, expires_at).await;
        if expires_at.is_none() {
            repository
                .revoke_api_key(acme, key.id, &change(60))
                .await
                .unwrap();
        }
        dead.push(key.id);
    }
    let alive = api_key(repository, acme, Some(101)).await.id;
    let other = tenant(repository, "other").await.id;
    let foreign = api_key(repository, other, Some(50)).await.id;
    repository.forget_dead_credentials(acme, now, 2).await.unwrap();
    let left = async |tenant| {
        let keys = repository.api_keys(tenant, Page::first(9)).await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(left(acme).await, [dead[2], dead[3], alive]);
    assert_eq!(left(other).await, [foreign]);
    let counts = repository.counts(acme, now).await.unwrap();
    assert_eq!(
        counts,
        Counts {
            api_keys: 1,
            ..Counts::default()
        }
    );
}

pub async fn tokens_belong_to_a_tenant_or_to_the_host(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let token = |reach| {
        let credential = Credential::generate(TokenId::generate()).unwrap();
        Token {
            id: credential.id(),
            name: "someone".to_owned(),
            reach,
            hash: credential.hash(),
            created_at: Timestamp(1),
            expires_at: Some(Timestamp(9)),
            revoked_at: None,
        }
    };
    let metrics = token(Reach::Metrics);
    repository.insert_token(&metrics, &change(1)).await.unwrap();
    assert_eq!(
        repository.token(metrics.id).await.unwrap().as_ref(),
        Some(&metrics)
    );
    let (operator, owner) = (token(Reach::Host), token(Reach::Tenant(acme, TenantRole::Owner)));
    for token in [&operator, &owner] {
        repository.insert_token(token, &change(1)).await.unwrap();
        assert_eq!(repository.token(token.id).await.unwrap().as_ref(), Some(token));
    }
    assert_eq!(
        repository.tokens(None, Page::first(9)).await.unwrap(),
        [metrics, operator.clone()]
    );
    assert_eq!(
        repository.tokens(Some(acme), Page::first(9)).await.unwrap(),
        std::slice::from_ref(&owner)
    );

    // A token is only revoked under its own tenant, or under the host if it belongs to none.
    let revoke = async |tenant, id, at| repository.revoke_token(tenant, id, &change(at)).await.unwrap();
    assert!(!revoke(None, owner.id, 5).await);
    assert!(!revoke(Some(acme), operator.id, 5).await);
    assert!(revoke(Some(acme), owner.id, 5).await);
    assert!(revoke(None, operator.id, 6).await);
    let revoked = repository.token(owner.id).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(Timestamp(5)));
    assert_eq!(repository.token(TokenId::generate()).await.unwrap(), None);
}

pub async fn changes_are_told_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;
    let all = AuditFilter::default();
    let mut changes = Vec::new();
    for action in ["one", "two", "three"] {
        let difference = Difference::between(&json!({ "a": 1 }), &json!({ "a": 2 }));
        let change = Change::new("token-1", action, "x", Timestamp(1)).with(difference);
        match action {
            "two" => drop(
                repository
                    .delete_plan(&"standard".parse().unwrap(), &|_| change.clone())
                    .await,
            ),
            _ => repository
                .put_config_value(acme, &orders, "a", Some(action), &change)
                .await
                .unwrap(),
        }
        changes.push(change);
    }
    // The second change was not made, because the plan is in use.
    let newest = repository.audit(Some(acme), &all, Page::first(2)).await.unwrap();
    assert_eq!((&newest[0].change, &newest[1].change), (&changes[2], &changes[0]));
    assert_eq!(
        (newest[0].actor_kind, newest[0].tenant_name.as_deref()),
        (ActorKind::Token, Some("acme"))
    );
    let older = repository
        .audit(Some(acme), &all, Page::after(newest[0].id, 1))
        .await
        .unwrap();
    assert_eq!(older, newest[1..]);
    let plan = Plan {
        name: "small".parse().unwrap(),
        limits: LimitOverrides::default(),
    };
    repository.put_plan(&plan, &|_| changes[1].clone()).await.unwrap();
    let everything = repository.audit(None, &all, Page::first(2)).await.unwrap();
    assert_eq!((&everything[0].change, everything[0].tenant), (&changes[1], None));
    assert_eq!(everything[1], newest[0]);
}

pub async fn audit_entries_are_found_by_tenant_actor_action_and_time(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let credential = Credential::generate(TokenId::generate()).unwrap();
    let token = Token {
        id: credential.id(),
        name: "Ada".to_owned(),
        reach: Reach::Host,
        hash: credential.hash(),
        created_at: Timestamp(1),
        expires_at: None,
        revoked_at: None,
    };
    repository.insert_token(&token, &change(1)).await.unwrap();
    let other = Token {
        id: TokenId::generate(),
        ..token.clone()
    };
    let (orders, _) = plugin(repository, acme, "orders").await;
    for (action, at) in [("tenant.suspend", 5_010), ("secret.put", 5_020)] {
        let change = Change::new(token.id.to_string(), action, "x", Timestamp(at));
        repository
            .put_config_value(acme, &orders, "a", Some("1"), &change)
            .await
            .unwrap();
    }
    let reset = Change::new(Change::COMMAND, "operator-token.reset", "x", Timestamp(5_030));
    repository.replace_tokens(&other, &[], &reset).await.unwrap();
    let purge = Change::new(Change::HOST, "tenant.purge", "x", Timestamp(5_040));
    repository.purge_tenant(acme, &purge).await.unwrap();

    // Without the changes that created the resources.
    let from = Some(Timestamp(5_000));
    let at = async |filter: AuditFilter| {
        let found = repository.audit(None, &filter, Page::first(9)).await.unwrap();
        found.iter().map(|entry| entry.change.at.0).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    let filter = || AuditFilter {
        from,
        ..AuditFilter::default()
    };
    for named in [acme.to_string(), "acme".to_owned()] {
        let tenant = Some(named);
        assert_eq!(
            at(AuditFilter { tenant, ..filter() }).await,
            [5_040, 5_020, 5_010]
        );
    }
    for named in [token.id.to_string(), "Ada".to_owned()] {
        let actor = Some(named);
        assert_eq!(at(AuditFilter { actor, ..filter() }).await, [5_020, 5_010]);
    }
    let action = some("tenant.*");
    assert_eq!(at(AuditFilter { action, ..filter() }).await, [5_040, 5_010]);
    let action = some("tenant");
    assert!(at(AuditFilter { action, ..filter() }).await.is_empty());
    let (from, to) = (Some(Timestamp(5_020)), Some(Timestamp(5_040)));
    assert_eq!(at(AuditFilter { from, to, ..filter() }).await, [5_030, 5_020]);
}
