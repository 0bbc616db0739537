//! Tests that `runtime.loaded` counts the memory of loaded components. It is a separate executable,
//! because it measures its whole process.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; one whose step fails ends there"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use mortise::capability::Services;
use mortise::capability::cache::MemoryCaches;
use mortise::capability::database::SqliteDatabases;
use mortise::capability::http_client::{HttpClientConfig, HttpClients};
use mortise::components::compile::CompileLimits;
use mortise::components::store::{FolderStore, VerifiedComponent};
use mortise::domain::clock::{SharedClock, SystemClock};
use mortise::domain::limits::Limits;
use mortise::domain::units::ByteSize;
use mortise::jobs::Queue;
use mortise::mail::{MailIntake, MailServers};
use mortise::sandbox::{Runtime, RuntimeSettings};
use mortise::storage::Repository;
use mortise::storage::sqlite::SqliteRepository;
use mortise::storage::vault::{HostKey, Vault};
use tokio::runtime::Handle;

/// Smaller differences are ignored, because a process allocates memory in pages and reuses them.
const FEW: usize = 24 << 20;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The number of each kind: nearly as many as the scan of an upload allows.
const MANY: usize = 49_000;

/// The number of definitions that need space in an instance: nearly as many as fit into the pool.
const PLACES: usize = 12_000;

fn repeated(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{}", item(number)).expect("a string takes everything");
        text
    })
}

/// Components with many definitions of one kind each.
fn samples() -> Vec<(&'static str, String)> {
    let module = |definitions: String| format!("(component (core module {definitions}))");
    let types = |number: usize| {
        let bits = (0..16).map(|bit| if number >> bit & 1 == 1 { " i64" } else { " i32" });
        format!("(type (func (param{})))", bits.collect::<String>())
    };
    vec![
        (
            "exports",
            module(format!(
                "(func $f){}",
                repeated(MANY, |n| format!(r#"(export "{n}" (func $f))"#))
            )),
        ),
        (
            "long names",
            module(format!(
                "(func $f){}",
                repeated(300, |n| format!(
                    r#"(export "{n}{}" (func $f))"#,
                    "x".repeat(9_000)
                ))
            )),
        ),
        ("types", module(repeated(MANY, types))),
        ("functions", module(repeated(2 * MANY, |_| "(func)".to_owned()))),
        (
            "exported functions",
            module(repeated(PLACES, |n| {
                format!(r#"(func (export "{n}") (result i32) (i32.const {n}))"#)
            })),
        ),
        (
            "globals",
            module(repeated(PLACES, |n| format!("(global i32 (i32.const {n}))"))),
        ),
        (
            "exported globals",
            module(repeated(PLACES, |n| {
                format!(r#"(global (export "{n}") (mut i32) (i32.const {n}))"#)
            })),
        ),
        (
            "imports",
            module(repeated(PLACES, |n| format!(r#"(import "m" "{n}" (func))"#))),
        ),
        (
            "imported globals",
            module(repeated(PLACES, |n| {
                format!(r#"(import "m" "{n}" (global i32))"#)
            })),
        ),
        (
            "passive data",
            module(format!(
                "(memory 1){}",
                repeated(PLACES, |_| r#"(data "x")"#.to_owned())
            )),
        ),
        (
            "active data",
            module(format!(
                "(memory 1){}",
                repeated(MANY, |n| format!(r#"(data (i32.const {n}) "x")"#))
            )),
        ),
        (
            "large data",
            module(format!(
                r#"(memory 128)(data (i32.const 0) "{}")"#,
                "x".repeat(4 << 20)
            )),
        ),
        (
            "element segments",
            module(format!(
                "(func $f){}",
                repeated(PLACES, |_| "(elem func $f)".to_owned())
            )),
        ),
        (
            "elements",
            module(format!("(func $f)(elem func {})", "$f ".repeat(MANY))),
        ),
        (
            "element expressions",
            module(format!(
                "(func $f)(elem funcref {})",
                "(ref.func $f)".repeat(MANY)
            )),
        ),
        (
            "modules",
            format!(
                "(component {})",
                repeated(60, |_| "(core module (func))".to_owned())
            ),
        ),
        (
            "core aliases",
            format!(
                r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) {})"#,
                repeated(MANY - 10, |_| r#"(alias core export $i "f" (core func))"#
                    .to_owned())
            ),
        ),
        (
            "component types",
            format!(
                "(component {})",
                repeated(MANY, |n| format!(
                    r#"(type (record (field "f{n}" u8) (field "g" string)))"#
                ))
            ),
        ),
        (
            "component exports",
            format!(
                r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f"))) {})"#,
                repeated(MANY, |n| format!(r#"(export "f{n}" (func $f))"#))
            ),
        ),
    ]
}

async fn runtime(folder: &std::path::Path) -> Runtime {
    let clock: SharedClock = Arc::new(SystemClock);
    let key = HostKey::load_or_create(&folder.join("host.key")).unwrap();
    let background = Handle::current();
    let databases = SqliteDatabases::new(folder.join("databases"), 64, background.clone(), clock.clone());
    let repository = SqliteRepository::open(folder).await.unwrap();
    let db: Arc<dyn Repository> = Arc::new(repository);
    let vault = Arc::new(Vault::new(&key));
    let queue = Arc::new(Queue::new(
        db.clone(),
        Arc::default(),
        Arc::default(),
        Arc::default(),
        clock.clone(),
    ));
    let mail = MailIntake {
        db: db.clone(),
        servers: Arc::new(MailServers::new(db, vault.clone(), None)),
        queue: queue.clone(),
        counters: Arc::default(),
        public_url: Arc::default(),
        clock: clock.clone(),
    };
    let services = Services {
        caches: Arc::new(MemoryCaches::new(clock.clone())),
        databases: Arc::new(databases.unwrap()),
        http: Arc::new(
            HttpClients::new(HttpClientConfig::default(), clock.clone(), background.clone()).unwrap(),
        ),
        jobs: queue,
        mail: Arc::new(mail),
        mail_counters: Arc::default(),
        renderer: Arc::default(),
        vault,
    };
    let settings = RuntimeSettings {
        folder: folder.to_owned(),
        worker: env!("CARGO_BIN_EXE_mortise").into(),
        instances: 1,
        instances_kept: 1,
        memories_warm: 1,
        threads: 1,
        background,
        ceiling: Limits::ceiling(),
        compile: CompileLimits::default(),
        shield: Default::default(),
        loaded_bytes: ByteSize::mib(4_096),
    };
    let store = FolderStore::open(folder, clock).unwrap();
    Runtime::start(settings, &key, Arc::new(store), services).unwrap()
}

#[tokio::test]
async fn what_is_counted_is_at_least_what_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(folder.path()).await;
    let mut counted_before = 0;
    for (name, text) in samples() {
        let component = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let uploaded = component.len();
        let component = VerifiedComponent::new(component.into());
        let digest = component.digest();
        runtime
            .components()
            .repair_code(&component)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let code =
            usize::try_from(runtime.components().compiled_size(digest).await.unwrap().unwrap()).unwrap();
        let before = resident();
        let loaded = runtime.load(digest).await;
        loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        let taken = resident().saturating_sub(before);
        let counted_now = usize::try_from(runtime.held().await.component_bytes).unwrap();
        let counted = counted_now - counted_before;
        counted_before = counted_now;
        println!("{name}: {uploaded} uploaded, {code} compiled, {taken} taken, {counted} counted");
        // The file is read before it is loaded, and the allocator may keep that memory for the next
        // one.
        assert!(
            counted + code + FEW >= taken,
            "{name}: {counted} counted, {taken} taken"
        );
    }
}
