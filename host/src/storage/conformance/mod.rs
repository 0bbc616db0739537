//! Conformance tests of [`Repository`] implementations, with one file per concern.
//!
//! An implementation runs all of them with `conformance::conformance_tests!(open)`. `open` returns
//! a guard, such as a folder, and an empty repository.

mod access;
mod activations;
mod components;
mod invocations;
mod job_reports;
mod jobs;
mod mail;
mod mail_lists;
mod mail_settings;
mod plugins;
mod routing;
mod settings;
mod tenants;
mod webhooks_out;
mod webhooks_received;

pub use access::*;
pub use activations::*;
pub use components::*;
pub use invocations::*;
pub use job_reports::*;
pub use jobs::*;
pub use mail::*;
pub use mail_lists::*;
pub use mail_settings::*;
pub use plugins::*;
pub use routing::*;
pub use settings::*;
pub use tenants::*;
pub use webhooks_out::*;
pub use webhooks_received::*;

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
            a_job_is_stored_as_it_was_added,
            a_unique_key_is_free_again_when_its_job_ends,
            a_job_that_is_added_twice_is_added_once,
            jobs_of_a_purged_tenant_are_dropped,
            jobs_are_claimed_by_priority_time_and_addition,
            a_claim_begins_an_attempt,
            a_stale_claim_changes_nothing,
            an_interrupted_last_attempt_is_followed_by_one_more,
            a_job_that_kills_the_host_becomes_a_dead_letter,
            a_lease_is_kept_until_it_ends_and_can_be_extended,
            lost_attempts_are_reaped_in_blocks,
            a_lost_last_attempt_ends_when_it_is_known_what_it_did,
            the_last_attempts_of_a_node_that_starts_again_are_lost,
            a_failed_job_waits_and_runs_again_until_its_last_attempt,
            a_job_that_is_given_back_is_ready_at_once,
            many_ends_are_written_in_one_call,
            claims_go_round_the_tenants,
            slots_that_are_left_go_to_the_tenants_with_more_jobs,
            a_tenant_has_no_more_running_jobs_than_it_may,
            reserved_slots_go_to_tenants_that_run_no_job,
            tenants_take_turns_beside_reserved_slots,
            due_jobs_of_one_tenant_do_not_delay_those_of_others,
            a_key_lets_so_many_jobs_run_at_once,
            jobs_of_a_key_that_are_added_together_are_counted,
            keys_are_of_one_kind_of_job,
            an_ordered_key_waits_for_a_failed_job,
            a_key_without_order_goes_on_while_a_failed_job_waits,
            a_delayed_job_takes_its_key_when_it_is_due,
            an_ended_job_that_runs_again_takes_its_key,
            a_held_job_keeps_its_key,
            a_key_without_order_takes_the_most_urgent_job_next,
            a_changed_limit_of_a_key_holds_for_new_jobs,
            jobs_that_cannot_run_are_held_and_released,
            jobs_of_a_deleted_plugin_become_dead_letters,
            an_outbox_is_relayed_once,
            the_epoch_of_an_outbox_is_known_before_its_first_entry,
            waiting_running_and_ended_jobs_are_cancelled,
            an_attempt_that_fails_after_it_was_to_be_cancelled_is_the_last,
            an_ended_job_runs_again_with_as_many_attempts,
            a_retry_lets_a_scheduled_job_run_now,
            a_job_whose_unique_key_is_taken_does_not_run_again,
            ended_jobs_that_match_run_again,
            jobs_that_match_and_do_not_run_are_purged,
            paused_jobs_are_part_of_the_snapshot,
            a_purged_tenant_leaves_no_jobs,
            a_purged_plugin_leaves_no_jobs,
            a_job_that_is_purged_while_it_runs_ends_nowhere,
            old_ended_jobs_are_pruned,
            the_oldest_of_too_many_ended_jobs_are_trimmed,
            the_last_attempts_of_a_job_are_kept,
            jobs_are_filtered_and_paged_newest_first,
            jobs_of_other_tenants_are_not_found,
            unfinished_jobs_are_told_from_done_ones,
            jobs_of_a_tenant_are_counted,
            a_time_of_a_schedule_is_handled_once,
            a_time_whose_previous_job_is_live_adds_none,
            a_schedule_begins_and_ends_with_its_version,
            counters_are_those_of_the_jobs_after_any_changes,
            endpoints_are_created_changed_and_deleted,
            the_secrets_of_an_endpoint_overlap_during_a_rotation,
            a_fan_out_is_stored_with_its_jobs,
            an_event_of_an_outbox_is_delivered_once,
            attempts_change_a_delivery_and_its_endpoint,
            a_delivery_that_ended_is_sent_again_by_a_new_job,
            deliveries_that_are_old_or_too_many_are_deleted_with_their_bodies,
            an_endpoint_is_disabled_once_and_told_of,
            deliveries_of_other_tenants_are_not_found,
            a_webhook_is_stored_once_with_its_job,
            the_oldest_webhooks_whose_jobs_have_ended_make_room,
            webhooks_that_wait_for_their_jobs_leave_no_room,
            received_webhooks_are_filtered_and_paged_newest_first,
            a_received_webhook_is_replayed_when_its_job_has_ended,
            received_webhooks_are_deleted_one_by_one_and_when_they_are_old,
            a_purged_plugin_leaves_no_received_webhooks,
            settings_of_mail_are_set_and_removed,
            sender_domains_are_replaced_as_a_whole,
            the_key_of_unsubscriptions_is_made_once,
            an_address_is_suppressed_once,
            mail_is_filtered_and_paged_newest_first,
            mail_is_sent_again_to_those_who_did_not_accept_it,
            deleted_mail_leaves_nothing,
            a_mail_is_stored_with_its_job,
            a_key_of_a_mail_holds_for_a_day_and_a_plugin,
            a_tenant_sends_so_many_mails_within_an_hour,
            what_became_of_a_mail_is_noted_once_for_each_receiver,
            old_mail_and_too_much_of_it_is_deleted,
            handlers_learn_which_jobs_of_the_host_were_given_up,
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
