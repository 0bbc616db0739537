//! Writes a data folder as commit 8ac4cda did.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use mortise::domain::clock::Timestamp;
use mortise::domain::id::VersionDigest;
use serde_json::{Value, json};
use wasm_encoder::{CustomSection, Section as _};

/// A time after everything in the folder was written.
pub const TIME: Timestamp = Timestamp(1_795_728_500_000);

/// A key of the tenant with the scope `orders:read`, and a token of its viewer.
pub const API_KEY: &str = "mk_01a219c22205731ca85330eb0bb05363_iI5Oana1xl1ccQmEQz3lNmrzUa0Fui_7XxWsHVLQpEw";
pub const VIEWER_TOKEN: &str =
    "mt_01a219c2221670a5848156e47f2003a6_Gpv07VQagbpcWxO2anZPsRzLmck46Emcf6Tux4zgw3M";

const OPERATOR_TOKEN: &str =
    "mt_01a219c2157c7466b03c702ef378ff2c_lU3oJcjrgWrMY0mgW_GvDKt266vKENv75kpe8ECcU3w";
const HOST_KEY: &str = "8989fdcb0da1c47a43dff3e9103388a9ac3fa04d4f71a81bb5b7a73ae7cd6314";
const TENANT: &str = "01a219c2-1d13-7066-85d9-3695704203d6";

pub const DATABASE_MANIFEST: &str = include_str!("database.toml");
pub const MIGRATION: &str = include_str!("0001_item.sql");
pub const SCHEMA: &str = include_str!("statement.json");

/// Writes the folder.
pub fn write(data: &Path) {
    let private = |name: &str| {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(data.join(name))
    };
    private("").unwrap();
    private("databases").unwrap();
    fs::create_dir(data.join("components")).unwrap();
    fs::create_dir(data.join("compiled")).unwrap();
    secret_file(&data.join("host.key"), HOST_KEY);
    secret_file(&data.join("operator.token"), OPERATOR_TOKEN);
    fs::write(data.join("lock"), "").unwrap();

    let mut control = include_str!("control.sql").to_owned();
    for (name, version, guest) in [
        ("capabilities", "1.0.0", test_artifacts::CAPABILITIES_0_1),
        ("capabilities", "1.1.0", test_artifacts::CAPABILITIES_0_1),
        ("database", "2.1.0", test_artifacts::DATABASE_0_1),
    ] {
        let manifest = match name {
            "database" => DATABASE_MANIFEST.to_owned(),
            _ => include_str!("capabilities.toml").replace("{version}", version),
        };
        let component = component(guest, &manifest, name == "database");
        let digest = VersionDigest::of(&component).to_string();
        let file = format!("components/{}.wasm", digest.trim_start_matches("sha256:"));
        fs::write(data.join(file), component).unwrap();
        control = control
            .replace(&format!("{{{name} {version}}}"), &digest)
            .replace(
                &format!("{{manifest of {name} {version}}}"),
                &manifest.replace('\'', "''"),
            );
    }
    database(&data.join("mortise.db"), &control);
    let tenant = data.join(format!("databases/{TENANT}.db"));
    database(&tenant, include_str!("tenant.sql"));
}

fn secret_file(path: &Path, content: &str) {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

fn database(path: &Path, sql: &str) {
    let connection = crate::app::open_database(path);
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
}

/// The guest with the custom section that `mortise build` appended in format 1.
fn component(guest: &str, manifest: &str, has_database: bool) -> Vec<u8> {
    let (migrations, schemas) = match has_database {
        true => (
            json!([{ "file": "0001_item.sql", "sql": MIGRATION }]),
            json!({ "schemas/statement.json": serde_json::from_str::<Value>(SCHEMA).unwrap() }),
        ),
        false => (json!([]), json!({})),
    };
    let content = json!({ "format": 1, "manifest": manifest, "migrations": migrations, "schemas": schemas });
    let section = CustomSection {
        name: "mortise:plugin".into(),
        data: content.to_string().into_bytes().into(),
    };
    let mut component = fs::read(guest).unwrap();
    section.append_to(&mut component);
    component
}
