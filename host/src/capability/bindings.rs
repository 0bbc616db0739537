//! What `wit/` looks like from the host's side.

#[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "mortise:plugin/database.transaction": crate::capability::database::Transaction,
            "mortise:plugin/database.cursor": crate::capability::database::Cursor,
            "mortise:plugin/http-client.pending": crate::capability::http_client::Pending,
        },
    });
}

pub use generated::exports::mortise::plugin::http_handler;
pub use generated::mortise::plugin::{
    cache, config, context, crypto, database, email, events, http_client, http_types, jobs, log, realtime,
    secrets, types,
};
