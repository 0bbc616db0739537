//! The builder of the test host.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;

use super::Host;
use super::budget::Budget;
use super::cache::Cache;
use super::database::{Converting, Database, Script};
use super::jobs::{Background, Subscription};
use super::mail::{Outgoing, read_templates};
use super::manifest::{Contract, Manifest};
use super::schemas::Schemas;
use super::state::{self, HttpFunction, State};
use crate::context::{Context, Principal, Trigger};
use crate::{http, log};

/// 2026-01-01 00:00:00 UTC, the initial time of the test host's clock.
const DEFAULT_NOW_MS: i64 = 1_767_225_600_000;

/// The builder of a [`Host`]. A mistake fails the test with a panic that describes it.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use mortise_sdk::testing::Host;
///
/// let _host = Host::builder()
///     .sql("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
///     .principal(Principal::api_key("key-1", ["orders:read"]))
///     .start();
/// assert_eq!(db::query_one::<i64>("SELECT count(*) FROM orders", ()).unwrap(), 0);
/// ```
#[must_use = "call `start`"]
pub struct HostBuilder {
    scripts: Vec<Script>,
    config: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    revealed: BTreeSet<String>,
    http: Option<HttpFunction>,
    principal: Option<Principal>,
    manifest: Option<Manifest>,
    schemas: Option<Schemas>,
    subscriptions: Vec<Subscription>,
    senders: Vec<String>,
    templates: BTreeMap<String, String>,
    now_ms: i64,
}

impl HostBuilder {
    pub(super) fn new() -> Self {
        Self {
            scripts: Vec::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            revealed: BTreeSet::new(),
            http: None,
            principal: None,
            manifest: None,
            schemas: None,
            subscriptions: Vec::new(),
            senders: Vec::new(),
            templates: BTreeMap::new(),
            now_ms: DEFAULT_NOW_MS,
        }
    }

    /// Uses the plugin's `plugin.toml`: its migrations run, and its routes, scopes, schemas,
    /// allowed origins, secrets, jobs, schedules, events, senders and templates of mail, and
    /// [counted limits](super#what-is-simulated) apply as in production. The folder is usually
    /// `env!("CARGO_MANIFEST_DIR")`.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// ```
    pub fn plugin(mut self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let manifest = Manifest::read(folder);
        self.revealed.extend(manifest.secrets.reveal.iter().cloned());
        let migrations = manifest.database.as_ref();
        let migrations = migrations.and_then(|database| Some(folder.join(database.migrations.as_ref()?)));
        self.schemas = Some(Schemas::new(folder.to_owned(), manifest.plugin.contract));
        self.senders.extend(manifest.email.from.iter().cloned());
        if let Some(templates) = &manifest.email.templates {
            self.templates.extend(read_templates(&folder.join(templates)));
        }
        self.manifest = Some(manifest);
        match migrations {
            Some(folder) => self.migrations(folder),
            None => self,
        }
    }

    /// Runs every `.sql` file of a folder, in the order of their numbers, as the host does.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().migrations("migrations").start();
    /// ```
    pub fn migrations(mut self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let entries = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("the migrations in {} cannot be read: {error}", folder.display()));
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
        let files = files.into_iter().map(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let sql = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("the migration {} cannot be read: {error}", path.display()));
            (name, sql)
        });
        self.scripts.extend(Script::of_files(files.collect()));
        self
    }

    /// Runs SQL before the test, to create tables or rows.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE a (b); INSERT INTO a VALUES (1)").start();
    /// ```
    pub fn sql(mut self, statements: &str) -> Self {
        self.scripts.push(Script::of_test(statements));
        self
    }

    /// Sets a setting of the plugin.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().config("page_size", "10").start();
    /// ```
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a secret, which the plugin may use by name.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().secret("payment", "s3cret").start();
    /// ```
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Grants the plugin to read the value of a secret.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().secret("token", "t").reveal("token").start();
    /// assert!(mortise_sdk::secrets::reveal("token").is_ok());
    /// ```
    pub fn reveal(mut self, name: &str) -> Self {
        self.revealed.insert(name.to_owned());
        self
    }

    /// Answers outbound requests with `answer`. Retries are made as the host makes them, without
    /// the pauses.
    ///
    /// ```
    /// use mortise_sdk::http;
    ///
    /// let _host = mortise_sdk::testing::Host::builder()
    ///     .http(|request| Ok(http::Response::new(200).with_body(request.url.clone())))
    ///     .start();
    /// assert_eq!(http::get("https://a.example/").send().unwrap().text(), Ok("https://a.example/"));
    /// ```
    pub fn http(
        mut self,
        answer: impl Fn(&http::Message) -> Result<http::Response, http::Error> + 'static,
    ) -> Self {
        self.http = Some(Box::new(answer));
        self
    }

    /// Adds a subscription to those of the manifest: each event on a topic that the pattern stands
    /// for causes a job of this name.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::builder().subscribe("payment.*", "on-paid").start();
    /// host.publish("payments", "payment.settled", &990);
    /// assert_eq!(host.jobs()[0].name, "on-paid");
    /// ```
    pub fn subscribe(mut self, topic: &str, job: &str) -> Self {
        self.subscriptions.push(Subscription {
            topic: topic.to_owned(),
            job: job.to_owned(),
        });
        self
    }

    /// Adds an address, or a domain such as `@example.com`, that the plugin sends mail from, to
    /// those of the manifest.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
    /// mortise_sdk::email::to("ada@example.com").subject("Hi").text("Hi").send()?;
    /// assert_eq!(host.mail()[0].from, "shop@example.com");
    /// # Ok::<(), mortise_sdk::email::Error>(())
    /// ```
    pub fn email_from(mut self, sender: &str) -> Self {
        self.senders.push(sender.to_owned());
        self
    }

    /// Adds a file to the mail templates of the manifest's folder.
    ///
    /// ```
    /// use mortise_sdk::email;
    ///
    /// let host = mortise_sdk::testing::Host::builder()
    ///     .email_from("shop@example.com")
    ///     .template("paid.subject", "Paid")
    ///     .template("paid.txt", "Thank you, {{ name }}!")
    ///     .start();
    /// email::to("ada@example.com").template("paid", &serde_json::json!({ "name": "Ada" })).send()?;
    /// assert_eq!(host.mail()[0].text, "Thank you, Ada!");
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn template(mut self, file: &str, text: &str) -> Self {
        self.templates.insert(file.to_owned(), text.to_owned());
        self
    }

    /// Sets the caller.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// let principal = Principal::api_key("key-1", ["orders:read"]);
    /// let _host = mortise_sdk::testing::Host::builder().principal(principal).start();
    /// ```
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Sets the clock, in milliseconds since 1970-01-01 UTC.
    ///
    /// ```
    /// let _host = mortise_sdk::testing::Host::builder().at(1_000).start();
    /// assert_eq!(mortise_sdk::time::now(), 1_000);
    /// ```
    pub fn at(mut self, unix_ms: i64) -> Self {
        self.now_ms = unix_ms;
        self
    }

    /// Installs the host on this thread.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::builder().start();
    /// # drop(host);
    /// ```
    pub fn start(self) -> Host {
        log::install("");
        let (plugin, version) = match &self.manifest {
            Some(manifest) => (manifest.plugin.name.clone(), manifest.plugin.version.clone()),
            None => ("test".to_owned(), "0.0.0".to_owned()),
        };
        let context = Context {
            id: "01900000-0000-7000-8000-000000000000".to_owned(),
            tenant: "test".to_owned(),
            plugin,
            version,
            trigger: Trigger::Http,
            principal: self.principal,
            traceparent: None,
            remote_address: None,
        };
        let limits = self.manifest.as_ref().map(|manifest| manifest.limits);
        let limits = limits.unwrap_or_default().lowered();
        let is_strict = |manifest: &Manifest| manifest.plugin.contract >= Contract::V0_2;
        let converts = if self.manifest.as_ref().is_some_and(is_strict) {
            Converting::Refused
        } else {
            Converting::Warned
        };
        let background = Background::new(self.manifest.as_ref(), self.subscriptions, self.now_ms);
        let state = Rc::new(State {
            background,
            outgoing: Outgoing::new(self.senders, self.templates),
            budget: Budget::new(limits),
            schemas: self.schemas,
            database: Database::create(self.scripts, converts),
            cache: RefCell::new(Cache::new(limits.cache_value.0)),
            now_ms: Cell::new(self.now_ms),
            config: self.config,
            secrets: self.secrets,
            revealed: self.revealed,
            http: self.http,
            logs: RefCell::default(),
            context: RefCell::new(context),
            manifest: self.manifest,
        });
        state::install(Rc::clone(&state));
        Host {
            state,
            thread: PhantomData,
        }
    }
}
