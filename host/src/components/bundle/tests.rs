//! Tests of bundles, including those that a customer could upload.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::components::refusal::Fault;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

const MANIFEST: &str = r#"
[plugin]
name = "orders"
version = "1.2.0"

[[route]]
method = "POST"
path = "/orders"
auth = "public"
request = "schemas/new-order.json"

[database]
migrations = "migrations"

[email]
from = ["shop@example.com"]
templates = "mail"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("migrations")).unwrap();
    fs::create_dir(folder.path().join("schemas")).unwrap();
    fs::create_dir(folder.path().join("mail")).unwrap();
    write("plugin.toml", MANIFEST);
    write(
        "migrations/0001_orders.sql",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
    );
    write(
        "migrations/0002_total.sql",
        "ALTER TABLE orders ADD total INTEGER",
    );
    write("migrations/README.md", "Not a migration.");
    write("mail/paid.subject", "Order {{ order }}");
    write("mail/paid.txt", "Thank you!");
    write("mail/.hidden", "Not a template.");
    write(
        "schemas/new-order.json",
        r#"{"type": "object", "required": ["lines"]}"#,
    );
    folder
}

/// A component with this JSON as its section, as another tool could create it.
fn uploaded(json: &Value) -> Vec<u8> {
    let data = json.to_string();
    let mut section = wasm_section(data.as_bytes());
    section.splice(0..0, COMPONENT.iter().copied());
    section
}

fn wasm_section(data: &[u8]) -> Vec<u8> {
    // Five bytes encode any of these numbers.
    let number = |number: usize| -> Vec<u8> {
        (0..5)
            .map(|place| {
                u8::try_from(number >> (7 * place) & 0x7f).unwrap() | if place < 4 { 0x80 } else { 0 }
            })
            .collect()
    };
    let body = [&number(SECTION.len()), SECTION.as_bytes(), data].concat();
    [vec![0], number(body.len()), body].concat()
}

fn valid() -> Value {
    json!({
        "format": 1,
        "manifest": MANIFEST,
        "migrations": [{"file": "0001_orders.sql", "sql": "CREATE TABLE orders (id)"}],
        "schemas": {"schemas/new-order.json": {"type": "object"}},
    })
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), wanted: &str) {
    let mut json = valid();
    change(&mut json);
    let error = Bundle::extract(&uploaded(&json)).unwrap_err();
    assert_eq!(error.fault(), Fault::Manifest);
    assert!(
        error.to_string().contains(wanted),
        "{error} does not contain {wanted}"
    );
}

#[test]
fn what_is_embedded_is_extracted() {
    let bundle = Bundle::from_folder(folder().path()).unwrap();
    let component = bundle.embed(COMPONENT).unwrap();
    assert!(component.starts_with(COMPONENT));

    let extracted = Bundle::extract(&component).unwrap();
    assert_eq!(extracted.manifest_text, MANIFEST);
    assert_eq!(extracted.manifest, bundle.manifest);
    assert_eq!(extracted.migrations, bundle.migrations);
    assert_eq!(extracted.schemas, bundle.schemas);
    assert_eq!(extracted.templates, bundle.templates);
    let templates: Vec<&str> = extracted.templates.keys().map(String::as_str).collect();
    assert_eq!(templates, ["paid.subject", "paid.txt"]);
    assert_eq!(
        extracted.migrations.iter().map(|m| m.number).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        extracted.schemas["schemas/new-order.json"],
        r#"{"required":["lines"],"type":"object"}"#
    );

    let stored = StoredBundle::open(&component).unwrap();
    assert_eq!(stored.migrations, bundle.migrations);
    assert_eq!(stored.schemas, bundle.schemas);
    assert_eq!(stored.templates, bundle.templates);
}

#[test]
fn a_template_is_refused_with_its_file_and_line() {
    let folder = folder();
    let paid = folder.path().join("mail/paid.txt");
    for (text, wanted) in [
        ("a\n{{ b", "mail/paid.txt:2: "),
        ("{% endif %}", "mail/paid.txt:1: "),
    ] {
        fs::write(&paid, text).unwrap();
        let error = Bundle::from_folder(folder.path()).unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
        assert_eq!(error.fault(), Fault::Manifest);
    }
    fs::remove_file(paid).unwrap();
    let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        "mail/paid.subject: the template has no body; add paid.txt, paid.html or paid.mjml"
    );
    fs::remove_dir_all(folder.path().join("mail")).unwrap();
    let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("[email] templates: cannot read"), "{error}");
    refused(
        |json| json["templates"] = json!({ "paid.css": "x" }),
        "mail/paid.css: ",
    );
    refused(
        |json| json["templates"] = json!({ "paid.txt": 7 }),
        "invalid type",
    );
}

#[test]
fn a_stored_component_is_read_to_its_last_section_or_called_cut() {
    let component = uploaded(&valid());
    assert_eq!(StoredBundle::open(&component).unwrap().migrations.len(), 1);
    assert!(matches!(
        StoredBundle::open(COMPONENT),
        Err(BundleError::NoManifest)
    ));
    for cut in 9..component.len() {
        assert!(StoredBundle::open(&component[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_component_is_bundled_once() {
    let bundle = Bundle::from_folder(folder().path()).unwrap();
    let component = bundle.embed(COMPONENT).unwrap();
    assert!(matches!(
        bundle.embed(&component),
        Err(BundleError::AlreadyBundled)
    ));
    assert!(matches!(bundle.embed(b"text"), Err(BundleError::Component(_))));
}

#[test]
fn numbers_order_migrations_and_not_their_digits() {
    let folder = folder();
    fs::write(folder.path().join("migrations/10_later.sql"), "SELECT 1").unwrap();
    fs::write(folder.path().join("migrations/9_earlier.sql"), "SELECT 1").unwrap();
    let bundle = Bundle::from_folder(folder.path()).unwrap();
    assert_eq!(
        bundle.migrations.iter().map(|m| m.number).collect::<Vec<_>>(),
        [1, 2, 9, 10]
    );
}

#[test]
fn the_component_s_fault_is_told_from_the_manifest_s() {
    for bytes in [
        b"hello".as_slice(),
        b"\0asm\x01\0\0\0",
        b"\0asm\x0d\0\x01\0\x01\x7f",
    ] {
        assert_eq!(Bundle::extract(bytes).unwrap_err().fault(), Fault::Component);
    }
    let error = Bundle::extract(COMPONENT).unwrap_err();
    assert!(matches!(error, BundleError::NoManifest));
    assert_eq!(error.fault(), Fault::Manifest);
}

#[test]
fn the_valid_upload_that_the_refusals_change_is_valid() {
    Bundle::extract(&uploaded(&valid())).unwrap();
}

#[test]
fn a_wrong_manifest_is_refused() {
    refused(|json| json["manifest"] = json!("[plugin"), "plugin.toml: ");
    refused(
        |json| json["manifest"] = json!(MANIFEST.replace("\"/orders\"", "\"orders\"")),
        "route[0].path",
    );
    refused(|json| json["manifest"] = json!(3), "expected a string");
    let most = format!(
        "{MANIFEST}#{}",
        "#".repeat(MAX_MANIFEST_BYTES - MANIFEST.len() - 1)
    );
    let mut json = valid();
    json["manifest"] = json!(most);
    Bundle::extract(&uploaded(&json)).unwrap();
    refused(
        |json| json["manifest"] = json!(format!("{most}#")),
        "plugin.toml: 262145 bytes are more than 262144",
    );
}

#[test]
fn wrong_migrations_are_refused() {
    let file = |name: &str| json!({"file": name, "sql": "SELECT 1"});
    refused(
        |json| json["migrations"] = json!([file("first.sql")]),
        "`first.sql` is not",
    );
    refused(
        |json| json["migrations"] = json!([file("0002_b.sql"), file("0001_a.sql")]),
        "`0001_a.sql` comes after `0002_b.sql`",
    );
    refused(
        |json| json["migrations"] = json!([file("1_a.sql"), file("0001_b.sql")]),
        "`1_a.sql` and `0001_b.sql` have the same number",
    );
    refused(
        |json| json["migrations"] = json!(vec![file("1_a.sql"); MAX_MIGRATIONS + 1]),
        "501 are more than 500",
    );
    refused(
        |json| json["manifest"] = json!(MANIFEST.replace("migrations = ", "# ")),
        "has no `[database] migrations`",
    );
}

#[test]
fn wrong_schemas_are_refused() {
    const FILE: &str = "schemas/new-order.json";
    refused(
        |json| json["schemas"] = json!({}),
        "the manifest names this schema",
    );
    refused(
        |json| json["schemas"]["other.json"] = json!({}),
        "other.json: no route names this schema",
    );
    refused(
        |json| json["schemas"][FILE] = json!({"title": "x".repeat(MAX_SCHEMA_BYTES)}),
        "are more than 262144",
    );
}

#[test]
fn blanks_between_tokens_are_not_counted() {
    assert_eq!(
        compact_len("{ \"a b\\\" c\" :\t[ 1 ,\n2 ] }"),
        "{\"a b\\\" c\":[1,2]}".len()
    );
    assert_eq!(compact_len(r#""\\" "#), 4);
}

#[test]
fn a_wrong_schema_of_a_folder_is_named_with_its_place() {
    let folder = folder();
    for (schema, problem) in [
        (json!({"type": 7}), "/type: "),
        (json!({"$ref": "file:///etc/passwd"}), "is outside the schema"),
    ] {
        fs::write(folder.path().join("schemas/new-order.json"), schema.to_string()).unwrap();
        let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("schemas/new-order.json: ") && error.contains(problem),
            "{error}"
        );
    }
}

#[test]
fn a_long_chain_of_references_in_a_folder_does_not_end_the_process() {
    let folder = folder();
    let mut definitions = serde_json::Map::new();
    for level in 0..5_000 {
        let next = json!({"allOf": [{"$ref": format!("#/$defs/{}", level + 1)}]});
        definitions.insert(level.to_string(), next);
    }
    definitions.insert("5000".to_owned(), json!(true));
    let schema = json!({"$ref": "#/$defs/0", "$defs": definitions});
    fs::write(folder.path().join("schemas/new-order.json"), schema.to_string()).unwrap();
    // The host's sandbox decides whether it is accepted.
    let _ = Bundle::from_folder(folder.path());
}

#[test]
fn as_many_schemas_as_may_be_and_no_more() {
    let mut manifest = MANIFEST.to_owned();
    let mut json = valid();
    for number in 0..250 {
        let (request, response) = (format!("{number}a.json"), format!("{number}b.json"));
        write!(
            manifest,
            "[[route]]\nmethod='POST'\npath='/x/{number}'\nauth='public'\nrequest='{request}'\nresponse='{response}'\n"
        )
        .unwrap();
        json["schemas"][request] = json!({});
        json["schemas"][response] = json!({});
    }
    json["manifest"] = json!(manifest.replace("[database]\nmigrations = \"migrations\"", ""));
    json["migrations"] = json!([]);
    let error = Bundle::extract(&uploaded(&json)).unwrap_err().to_string();
    assert!(error.contains("501 schemas are more than 500"), "{error}");
}

#[test]
fn a_section_that_is_too_large_is_refused() {
    refused(
        |json| json["manifest"] = json!("#".repeat(MAX_SECTION_BYTES)),
        "are more than 4194304",
    );
}

#[test]
fn paths_stay_inside_the_folder() {
    let outer = folder();
    fs::write(outer.path().join("secret.json"), "{}").unwrap();
    let inner = outer.path().join("plugin");
    fs::create_dir(&inner).unwrap();
    for name in ["../secret.json", "/etc/hostname", "link.json", ""] {
        fs::write(inner.join("plugin.toml"), manifest_naming(name)).unwrap();
        if name == "link.json" {
            std::os::unix::fs::symlink(outer.path().join("secret.json"), inner.join(name)).unwrap();
        }
        let error = Bundle::from_folder(&inner).unwrap_err();
        assert!(
            matches!(&error, BundleError::Outside(outside) if outside == name),
            "{name}: {error}"
        );
    }
}

#[test]
fn what_is_wrong_in_a_folder_is_named() {
    let folder = folder();
    let schema = folder.path().join("schemas/new-order.json");
    fs::write(&schema, "{\n  \"type\": ,\n}").unwrap();
    let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        "schemas/new-order.json: expected value at line 2 column 11"
    );

    fs::remove_file(&schema).unwrap();
    let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("plugin.toml: a schema of a route or a function: cannot read ")
            && error.contains("schemas/new-order.json"),
        "{error}"
    );

    fs::remove_dir_all(folder.path().join("migrations")).unwrap();
    let error = Bundle::from_folder(folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("plugin.toml: [database] migrations: cannot read "),
        "{error}"
    );
}

#[test]
fn what_is_no_plugin_s_folder_is_told_from_one_with_mistakes() {
    let folder = folder();
    let manifest = folder.path().join("plugin.toml");
    let no_plugin = |path: &Path| {
        let error = Bundle::from_folder(path).unwrap_err();
        assert!(error.refusal().hint.contains("plugin.toml"), "{error}");
        error.to_string()
    };
    let error = no_plugin(&folder.path().join("nowhere"));
    assert!(
        error.ends_with("nowhere is no folder of a plugin: there is nothing of this name"),
        "{error}"
    );
    assert!(no_plugin(&manifest).ends_with("it is a file"));
    fs::remove_file(&manifest).unwrap();
    assert!(no_plugin(folder.path()).ends_with("it has no plugin.toml"));
}

fn manifest_naming(schema: &str) -> String {
    format!(
        "[plugin]\nname='a'\nversion='1'\n[[route]]\nmethod='POST'\npath='/'\nauth='public'\nrequest='{schema}'\n"
    )
}
