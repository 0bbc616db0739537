//! The host bindings that `bindgen!` generates from `wit/`: one module for each version of the
//! contract.
//!
//! The host works with the types of the newest version, which are re-exported here. Each capability
//! implements the host calls of every version. `convert.rs` converts the types of older versions.

mod convert;

pub use v0_2::*;

/// Contract 0.1, which is frozen.
pub mod v0_1 {
    #[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
    mod generated {
        wasmtime::component::bindgen!({
            path: "../wit/0.1",
            world: "plugin",
            imports: { default: async | trappable },
            exports: { default: async },
            with: {
                // These interfaces have one type and no function, so both versions share them.
                "mortise:plugin/types": crate::capability::bindings::v0_2::types,
                "mortise:plugin/failures": crate::capability::bindings::v0_2::failures,
                "mortise:plugin/database.transaction": crate::capability::database::Transaction,
                "mortise:plugin/database.cursor": crate::capability::database::Cursor,
                "mortise:plugin/http-client.pending": crate::capability::http_client::Pending,
            },
        });
    }

    pub use generated::exports::mortise::plugin::{function_handler, http_handler, job_handler};
    pub use generated::mortise::plugin::{
        cache, config, context, crypto, database, email, events, http_client, http_types, jobs, log,
        realtime, secrets,
    };

    /// The names of the interfaces that have no bindings of their own: `types` and `failures`.
    pub const TYPES: [&str; 2] = ["mortise:plugin/types@0.1.0", "mortise:plugin/failures@0.1.0"];
}

/// Contract 0.2, a draft.
pub mod v0_2 {
    #[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
    mod generated {
        wasmtime::component::bindgen!({
            path: "../wit/0.2",
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

    pub use generated::exports::mortise::plugin::{function_handler, http_handler, job_handler};
    pub use generated::mortise::plugin::{
        cache, config, context, crypto, database, email, events, failures, http_client, http_types, jobs,
        log, realtime, secrets, steps, types,
    };
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sha2::{Digest, Sha256};

    /// Deployed components use contract 0.1, so its text never changes. A change goes into a newer
    /// version.
    #[test]
    fn contract_0_1_is_frozen() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/0.1");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let mut digest = Sha256::new();
        for file in files {
            digest.update(file.file_name().unwrap().as_encoded_bytes());
            digest.update([0]);
            digest.update(fs::read(&file).unwrap());
            digest.update([0]);
        }
        assert_eq!(
            format!("{:x}", digest.finalize()),
            "63ca9d229572a1b7c223d66094c10ab8aaa6807a07eb6c67b5ce65c711eae132"
        );
    }
}
