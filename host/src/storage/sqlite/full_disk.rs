//! Tests that every kind of change works after another one met a full disk.

use super::{DbError, SqliteRepository};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ApiKeyId, TenantId, VersionDigest};
use crate::domain::job::Ending;
use crate::domain::limits::LimitOverrides;
use crate::domain::log_line::Level;
use crate::domain::tenant::Plan;
use crate::storage::conformance::{self, change as at, name};
use crate::storage::vault::Sealed;
use crate::storage::{
    ApiKeys as _, Invocations as _, Jobs as _, Plans as _, Plugins as _, Secrets as _, Settings as _,
};

const NOW: Timestamp = Timestamp(1);

/// Number of kinds of changes: single statements and transactions.
const KINDS: usize = 11;

/// Makes a change of a kind. Some need more space for a longer `text`.
async fn change(db: &SqliteRepository, tenant: TenantId, kind: usize, text: &str) -> Result<(), DbError> {
    let plugin = name("orders");
    match kind {
        0 => {
            let mut entry = conformance::entry(tenant, "orders", 1, &[Level::Info]);
            entry.log_lines[0].message = text.to_owned();
            db.record(&[entry]).await.map(drop)
        }
        1 => {
            let change = Change::new(Change::HOST, "test", text, NOW);
            db.put_secret(tenant, "told", &Sealed::from_bytes(vec![1]), &change)
                .await
        }
        2 => {
            let mut version = conformance::version_of("orders", "2.0.0", 2);
            version.manifest_text = text.to_owned();
            version.digest = VersionDigest::of(text.as_bytes());
            db.add_version(tenant, &plugin, &version, &at(2_000))
                .await
                .map(drop)
        }
        3 => {
            let config = [("key".to_owned(), text.to_owned())].into();
            db.put_config(tenant, &plugin, &config, &at(3_000)).await
        }
        4 => {
            let sealed = Sealed::from_bytes(text.into());
            db.put_secret(tenant, "key", &sealed, &at(1)).await
        }
        5 => db
            .revoke_api_key(tenant, ApiKeyId::generate(), &at(1))
            .await
            .map(drop),
        6 => {
            let plan = Plan {
                name: name("large"),
                limits: LimitOverrides::default(),
            };
            db.put_plan(&plan, &|_| at(1)).await.map(drop)
        }
        7 => db.prune_before(NOW).await.map(drop),
        8 => {
            let mut job = conformance::new_job(tenant, "send");
            job.payload = text.into();
            db.add_jobs(&[job]).await.map(drop)
        }
        9 => {
            let policy = conformance::Policy::default();
            let round = db.claim_jobs("node-1", None, 1, NOW, &policy).await?;
            let ended = round.claimed.iter().map(|claimed| {
                let error = text.to_owned();
                conformance::end_of(claimed, Ending::Dead { error }, NOW)
            });
            db.acknowledge_jobs(&ended.collect::<Vec<_>>()).await.map(drop)
        }
        _ => {
            let digest = VersionDigest::of(b"1.0.0");
            db.activate(tenant, &plugin, digest, None, &at(1)).await.map(drop)
        }
    }
}

#[tokio::test]
async fn every_change_works_after_any_other_met_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteRepository::open(folder.path()).await.unwrap();
    let tenant = conformance::tenant(&db, "acme").await.id;
    conformance::plugin(&db, tenant, "orders").await;
    let mut failed = Vec::new();
    for kind in 0..KINDS {
        db.limit_pages(1).await;
        // From a change that fits into a page to one that never fits.
        for size in [10, 1_000, 100_000, 1_000_000] {
            let text = format!("{kind}").repeat(size);
            if let Err(error) = change(&db, tenant, kind, &text).await {
                assert!(matches!(error, DbError::Unavailable(_)), "{kind}: {error:?}");
                failed.push(kind);
            }
        }
        db.limit_pages(u32::MAX).await;
        for next in 0..KINDS {
            let made = change(&db, tenant, next, &format!("{next} after {kind}")).await;
            assert!(made.is_ok(), "{next} after {kind}: {made:?}");
        }
    }
    failed.dedup();
    let met = [0, 1, 2, 3, 4, 8].iter().all(|kind| failed.contains(kind));
    assert!(met, "only {failed:?} met a full disk");
}
