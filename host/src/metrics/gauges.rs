//! The list of gauges: one place for their names, their meaning and their form in the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! gauges {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What the host holds at this moment. Null where the operating system does not say.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub struct Gauges {
            $($(#[doc = $doc])+ pub $name: Option<u64>,)+
        }

        impl Gauges {
            /// Each that is known: its name, what it means, how much it is.
            pub fn known(&self) -> Vec<(&'static str, &'static str, u64)> {
                let all = [$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)+];
                let known = |(name, meaning, value): (_, _, Option<u64>)| Some((name, meaning, value?));
                all.into_iter().filter_map(known).collect()
            }
        }
    };
}

gauges! {
    /// Requests of the public listener under way.
    requests_under_way,
    /// Requests that their tenant's gate let in.
    requests_admitted,
    /// Requests that wait for their turn or for an instance.
    requests_waiting,
    /// Bytes of request bodies that are being read or wait until their invocation begins.
    request_body_bytes,
    /// Bytes of components that are being uploaded.
    upload_bytes,
    /// Routes of plugins that are left alone because they fail all the time.
    routes_unhealthy,
    /// Plugins that run.
    guests_running,
    /// Instances that are in use.
    instances_in_use,
    /// Instances that wait for the next request of their plugin.
    instances_kept,
    /// Instances that there may be.
    instances_total,
    /// Transactions of plugins that are open.
    database_transactions,
    /// Cursors of plugins that are open.
    database_cursors,
    /// SQL statements that run.
    database_statements,
    /// Databases of tenants that are open.
    databases_open,
    /// Connections to databases of tenants.
    database_connections,
    /// Outbound requests of plugins under way.
    outbound_requests,
    /// Outbound connections that are open.
    outbound_connections,
    /// Outbound connections that wait for their next request.
    outbound_connections_idle,
    /// Compilations that run.
    compile_workers,
    /// Active versions that are still to be compiled again after an upgrade.
    recompile_to_do,
    /// Active versions that were compiled again since the start.
    recompile_done,
    /// Active versions that could not be compiled again since the start.
    recompile_failed,
    /// Components that are loaded.
    components_loaded,
    /// Bytes of machine code of the loaded components.
    components_loaded_bytes,
    /// Records of invocations that wait to be written.
    ledger_entries,
    /// Bytes of log lines that wait to be written.
    ledger_log_bytes,
    /// Open connections of the public listener.
    public_connections,
    /// Open connections of the admin listener.
    admin_connections,
    /// Bytes of memory of this process that are resident.
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
