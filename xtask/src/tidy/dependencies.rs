//! The rule that decides which modules of the host may use which crates.

use super::files::File;

/// Each crate with the only parts of `host/src` that may use it.
const KNOWN_BY: [(&str, &[&str]); 8] = [
    (
        "axum",
        &[
            "gateway/",
            "admin/",
            "console/",
            "server/",
            "host/",
            "http/",
            "cli/serve.rs",
        ],
    ),
    ("sqlx", &["storage/"]),
    (
        "rusqlite",
        &[
            "sqlite/",
            "capability/database/sqlite/",
            "capability/database/tests/",
        ],
    ),
    (
        "mortise_sql",
        &[
            "sqlite/",
            "capability/database/",
            "components/bundle/",
            "domain/migration.rs",
        ],
    ),
    ("croner", &["domain/cron/"]),
    ("lettre", &["mail/"]),
    ("wasmtime", &["components/", "sandbox/", "capability/"]),
    ("wasmtime_wasi", &["components/", "sandbox/", "capability/"]),
];

/// The folder of plain types, which uses no other part of the host.
const PLAIN: &str = "domain/";

/// No module uses a crate, or a part of the host, that it must not use.
pub fn in_direction(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let Some(path) = file.path.strip_prefix("host/src/").filter(|_| file.is_rust()) else {
            continue;
        };
        for (number, line) in file.code() {
            for (name, may) in KNOWN_BY {
                if names(&line, name) && !may.iter().any(|part| path.starts_with(part)) {
                    complaints.push(format!(
                        "{}:{number}: `{name}` is for {} only",
                        file.path,
                        may.join(", ")
                    ));
                }
            }
            if path.starts_with(PLAIN) && line.contains("crate::") && !line.contains("crate::domain") {
                complaints.push(format!(
                    "{}:{number}: the domain knows nothing but itself",
                    file.path
                ));
            }
        }
    }
    complaints
}

/// Whether a line contains a path whose first segment is `name`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '"' | '`'));
        let rooted = line[..at].ends_with(" ::");
        (starts || rooted) && line[at + name.len()..].starts_with("::")
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn a_crate_in_the_wrong_place_is_found() {
        let files = [
            file("host/src/lifecycle/mod.rs", "use axum::Router;\n"),
            file(
                "host/src/gateway/mod.rs",
                "use axum::Router;\nlet x: sqlx::Error;\n",
            ),
            file(
                "host/src/cli/mod.rs",
                "// axum::Router\nuse super::wasmtime::x;\nuse my_axum::x;\n",
            ),
            file(
                "host/src/vault.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\nuse axum::Router;\n}\n",
            ),
            file("sdk/rust/src/lib.rs", "use rusqlite::Connection;\n"),
        ];
        let found = in_direction(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("host/src/lifecycle/mod.rs:1: `axum`"));
        assert!(found[1].starts_with("host/src/gateway/mod.rs:2: `sqlx`"));
    }

    #[test]
    fn the_domain_knows_itself_only() {
        let files = [file(
            "host/src/domain/id.rs",
            "use crate::domain::clock::Clock;\nuse crate::storage::Page;\n",
        )];
        assert_eq!(
            in_direction(&files),
            ["host/src/domain/id.rs:2: the domain knows nothing but itself"]
        );
    }
}
