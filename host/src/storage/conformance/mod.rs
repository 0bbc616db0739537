//! Conformance tests of [`Repository`] implementations, with one file per concern.
//!
//! An implementation runs all of them with `conformance::conformance_tests!(open)`. `open` returns
//! a guard, such as a folder, and an empty repository.

mod access;
mod activations;
mod components;
mod invocations;
mod job_reports;
mod plugins;
mod routing;
mod settings;
mod tenants;

pub use access::*;
pub use activations::*;
pub use components::*;
pub use invocations::*;
pub use job_reports::*;
pub use plugins::*;
pub use routing::*;
pub use settings::*;
pub use tenants::*;

use std::sync::Arc;

use super::Repository;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::domain::limits::LimitOverrides;
use crate::domain::manifest::Manifest;
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;

macro_rules! conformance_tests {
    ($open:ident) => {
        $crate::storage::conformance::conformance_tests!(@each $open:
            plans_are_put_and_kept_while_in_use,
            tenants_are_made_found_changed_and_deleted,
            a_deleted_tenant_is_restored_as_it_was,
            a_purged_tenant_leaves_nothing_but_its_audit,
            a_deleted_plugin_is_restored_as_it_was,
            a_purged_plugin_leaves_its_files_to_be_removed,
            versions_are_recorded_once_and_listed_newest_first,
            the_oldest_inactive_versions_are_given_up,
            an_active_version_is_not_deleted,
            an_activation_switches_records_and_audits,
            a_rollback_never_leads_to_what_was_rolled_back_from,
            settings_are_replaced_as_a_whole_or_one_by_one,
            secrets_are_kept_sealed,
            api_keys_are_revoked_once,
            dead_keys_are_forgotten_and_living_ones_counted,
            tokens_belong_to_a_tenant_or_to_the_host,
            changes_are_told_newest_first,
            audit_entries_are_found_by_tenant_actor_action_and_time,
            a_change_is_told_and_raises_a_generation_or_is_not_made,
            a_plan_is_a_change_of_each_tenant_on_it,
            secrets_are_sealed_anew_in_one_step,
            an_invocation_is_counted_once,
            server_errors_of_a_plugin_are_failures_as_problems_of_the_host_are,
            what_is_of_a_deleted_tenant_is_left_out,
            log_lines_are_filtered_and_paged,
            log_lines_are_read_on_in_the_order_in_which_they_were_written,
            what_is_kept_is_counted_and_the_oldest_leaves,
            what_was_recorded_together_leaves_together,
            invocations_are_in_order_however_late_they_ended,
            every_number_of_the_usage_is_kept_and_summed,
            one_batch_has_many_plugins_of_many_tenants,
            pruning_keeps_the_usage,
            invocations_are_found_by_route_status_principal_and_time,
            attempts_of_jobs_are_found_by_kind_of_job,
            calls_are_counted_by_day_route_and_caller,
            callers_beyond_the_limit_are_counted_together,
            routing_reads_everything_of_one_tenant,
            tenants_do_not_see_each_other,
            a_component_is_not_removed_while_it_is_uploaded,
            a_component_is_not_uploaded_while_it_is_removed,
            leases_and_claims_of_a_dead_node_expire,
            a_component_that_a_version_names_is_not_removed,
            active_components_come_most_used_first,
            jobs_are_counted_by_kind_and_state,
            paused_jobs_are_named_by_plugin,
            a_job_that_somebody_asked_for_is_audited,
            schedules_are_reported_with_their_last_job,
        );
    };
    (@each $open:ident: $($test:ident,)+) => {$(
        #[tokio::test]
        async fn $test() {
            let (_guard, repository) = $open().await;
            $crate::storage::conformance::$test(&repository).await;
        }
    )+};
}
pub(crate) use conformance_tests;

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// The action of changes without a description.
pub const UNTOLD: &str = "test";

/// A change at this time.
pub fn change(at: i64) -> Change {
    Change::new(Change::HOST, UNTOLD, "x", Timestamp(at))
}

/// Creates a tenant on the plan that always exists.
pub async fn tenant(repository: &dyn Repository, tenant_name: &str) -> Tenant {
    let tenant = Tenant {
        id: TenantId::generate(),
        name: name(tenant_name),
        plan: name("standard"),
        limits: LimitOverrides::default(),
        suspended: false,
        created_at: Timestamp(1_000),
        deleted_at: None,
    };
    repository.create_tenant(&tenant, &change(1_000)).await.unwrap();
    tenant
}

/// A version of a component with the content `bytes`.
pub fn version_of(plugin: &str, bytes: &str, at: i64) -> Version {
    let manifest_text = format!("[plugin]\nname = '{plugin}'\nversion = '{bytes}'\n");
    Version {
        digest: VersionDigest::of(bytes.as_bytes()),
        manifest: Arc::new(Manifest::parse(&manifest_text).unwrap()),
        manifest_text,
        size: bytes.len() as u64,
        created_at: Timestamp(at),
    }
}

/// Creates a plugin with one version.
pub async fn plugin(repository: &dyn Repository, tenant: TenantId, plugin: &str) -> (PluginName, Version) {
    let version = version_of(plugin, "1.0.0", 2_000);
    let plugin = name(plugin);
    repository
        .add_version(tenant, &plugin, &version, &change(2_000))
        .await
        .unwrap();
    (plugin, version)
}
