//! The list of gauges: their names, their descriptions and their form in the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! gauges {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The resources that the host uses at this moment. Null if the operating system does not
        /// report the value.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub struct Gauges {
            $($(#[doc = $doc])+ pub $name: Option<u64>,)+
        }

        impl Gauges {
            /// The known gauges, each with name, description and value.
            pub fn known(&self) -> Vec<(&'static str, &'static str, u64)> {
                let all = [$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)+];
                let known = |(name, meaning, value): (_, _, Option<u64>)| Some((name, meaning, value?));
                all.into_iter().filter_map(known).collect()
            }
        }
    };
}

gauges! {
    /// Requests of the public listener in progress.
    requests_under_way,
    /// Requests that were admitted for their tenant.
    requests_admitted,
    /// Requests that wait for a permit or for an instance.
    requests_waiting,
    /// Bytes of request bodies that are being read or wait for their invocation to begin.
    request_body_bytes,
    /// Bytes of components that are being uploaded.
    upload_bytes,
    /// Routes and functions of plugins whose circuit breaker is open.
    routes_unhealthy,
    /// Plugins that run.
    guests_running,
    /// Instances that are in use.
    instances_in_use,
    /// Warm instances, which wait for the next request of their plugin.
    instances_kept,
    /// The most instances that may run at once.
    instances_total,
    /// Open transactions of plugins.
    database_transactions,
    /// Open cursors of plugins.
    database_cursors,
    /// Running SQL statements.
    database_statements,
    /// Open databases of tenants.
    databases_open,
    /// Connections to databases of tenants.
    database_connections,
    /// Outbound requests of plugins in progress.
    outbound_requests,
    /// Open outbound connections.
    outbound_connections,
    /// Idle outbound connections.
    outbound_connections_idle,
    /// Running compilations.
    compile_workers,
    /// Active versions that remain to be recompiled after an upgrade.
    recompile_to_do,
    /// Active versions recompiled since the start.
    recompile_done,
    /// Active versions that failed to recompile since the start.
    recompile_failed,
    /// Loaded components.
    components_loaded,
    /// Bytes of machine code of the loaded components.
    components_loaded_bytes,
    /// Jobs that wait: until they are due, for a slot, for other jobs, or until they can run.
    jobs_queued,
    /// Jobs that run, on all nodes.
    jobs_running,
    /// Dead letters: jobs that failed for good.
    jobs_dead,
    /// Seconds since the oldest ready job was due.
    jobs_oldest_ready_seconds,
    /// Slots for jobs of this node that are in use.
    job_slots_in_use,
    /// The most jobs that this node runs at once.
    job_slots_total,
    /// Mails that wait to be sent.
    mails_queued,
    /// Mails that the catcher keeps.
    mails_caught,
    /// Mails that failed for good.
    mails_failed,
    /// Records of invocations that wait to be written.
    ledger_entries,
    /// Bytes of log lines that wait to be written.
    ledger_log_bytes,
    /// Open connections of the public listener.
    public_connections,
    /// Open connections of the admin listener.
    admin_connections,
    /// Resident memory of this process, in bytes.
    process_resident_bytes,
    /// Open file descriptors of this process.
    process_file_descriptors,
    /// Threads of this process.
    process_threads,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let gauges = Gauges {
            guests_running: Some(3),
            ..Gauges::default()
        };
        assert_eq!(gauges.known(), [("guests_running", "Plugins that run.", 3)]);
    }
}
