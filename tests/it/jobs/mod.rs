//! Tests of jobs, schedules and events with a whole host, whose clock the tests advance.

mod admin;
mod concurrency;
mod contract;
mod enqueue;
mod events;
mod fairness;
pub mod gate;
mod leases;
mod records;
mod retries;
mod schedules;
mod steps;
mod suspended;
mod transactions;
mod unique;

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::BACKGROUND;

use crate::app::{App, Reply, TestTenant, open_manifest};

/// The tables of the plugin: what its jobs did, and what their calls returned.
const TABLES: (&str, &str) = (
    "migrations/0001_effects.sql",
    "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL, job TEXT, attempt INTEGER, origin TEXT);
     CREATE TABLE reports (n INTEGER PRIMARY KEY, job TEXT, attempt INTEGER, label TEXT, results TEXT);",
);

/// A job without settings.
pub const WORK: &str = "[[job]]\nname = 'work'\n";

/// A plugin of a tenant that does what it is told, in requests and in jobs.
pub struct Plugin<'a> {
    pub app: &'a App,
    pub tenant: TestTenant<'a>,
    name: &'static str,
    /// Whether it has the migrations of the tables, which all plugins of the tenant use.
    owns_tables: bool,
}

impl<'a> Plugin<'a> {
    /// Deploys the plugin `p` of the tenant `acme`, with these sections in its manifest.
    pub async fn deploy(app: &'a App, sections: &str) -> Self {
        Self::deploy_for(app, "acme", sections).await
    }

    /// Deploys the plugin `p` of a new tenant.
    pub async fn deploy_for(app: &'a App, tenant: &str, sections: &str) -> Self {
        let tenant = app.tenant(tenant).await;
        let plugin = Self {
            app,
            tenant,
            name: "p",
            owns_tables: true,
        };
        plugin.update("1.0.0", sections).await;
        plugin
    }

    /// The plugin `p` of the tenant `acme` on a host that was started again.
    pub fn known(app: &'a App) -> Self {
        Self {
            app,
            tenant: app.known("acme"),
            name: "p",
            owns_tables: true,
        }
    }

    /// Deploys another version. Returns its digest.
    pub async fn update(&self, version: &str, sections: &str) -> String {
        let (manifest, files) = match self.owns_tables {
            true => (manifest(self.name, sections), &[TABLES][..]),
            false => (
                open_manifest(self.name, &format!("[database]\n{sections}")),
                &[][..],
            ),
        };
        let manifest = manifest.replace("1.0.0", version);
        self.tenant.deploy(BACKGROUND, &manifest, files).await
    }

    /// Deploys another plugin of the same tenant. It uses the same tables.
    pub async fn beside(&self, name: &'static str, sections: &str) -> Plugin<'a> {
        let plugin = Plugin {
            app: self.app,
            tenant: self.app.known(&self.tenant.name),
            name,
            owns_tables: false,
        };
        plugin.update("1.0.0", sections).await;
        plugin
    }

    /// Sends steps in one request.
    pub async fn send(&self, steps: Value) -> Reply {
        let path = format!("/{}/{}/do", self.tenant.name, self.name);
        let call = self.app.post(&path).json(&json!({ "do": steps }));
        call.send().await.expect(200)
    }

    /// Does a step in a request, which must succeed.
    pub async fn step(&self, step: Value) -> Value {
        let answer = self.send(json!([step])).await.json();
        assert!(answer[0].get("ok").is_some(), "{step}: {answer}");
        answer[0]["ok"].clone()
    }

    /// Does a step in a request, which must fail. Returns the error.
    pub async fn refused(&self, step: Value) -> String {
        let answer = self.send(json!([step])).await.json();
        let error = answer[0]["error"].as_str();
        error.unwrap_or_else(|| panic!("{step}: {answer}")).to_owned()
    }

    /// Adds a job with a request. Returns its id.
    pub async fn enqueue(&self, job: Value) -> String {
        let id = self.step(json!({ "enqueue": job })).await;
        id.as_str().unwrap().to_owned()
    }

    /// Adds a job of the kind `work` with these steps.
    pub async fn enqueue_steps(&self, steps: Value) -> String {
        self.enqueue(json!({ "name": "work", "payload": { "do": steps } }))
            .await
    }

    /// A path of the admin API below the tenant's, read as the operator.
    pub async fn read(&self, path: &str) -> Value {
        let path = self.tenant.path(path);
        self.app.admin("GET", &path).send().await.expect(200).json()
    }

    /// A change by the admin API as the operator, without a body.
    pub async fn change(&self, method: &str, path: &str) -> Reply {
        self.app.admin(method, &self.tenant.path(path)).send().await
    }

    /// A job as the admin API shows it.
    pub async fn job(&self, id: &str) -> Value {
        self.read(&format!("/jobs/{id}")).await
    }

    /// The jobs that match a query, the newest first.
    pub async fn jobs(&self, query: &str) -> Vec<Value> {
        let page = self.read(&format!("/jobs?{query}")).await;
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until a job has this state.
    pub async fn until(&self, id: &str, state: &str) -> Value {
        self.until_job(id, |job| job["state"] == state).await
    }

    /// Waits until a job is as wanted.
    pub async fn until_job(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(async || {
            // A job of a transaction is there once it is relayed.
            let job = self.change("GET", &format!("/jobs/{id}")).await.json();
            if is(&job) { Ok(job) } else { Err(job) }
        })
        .await
    }

    /// Relays the outboxes, and waits until no job waits or runs, except for jobs that are not due
    /// yet or held.
    pub async fn settle(&self) {
        self.app.pass().await;
        self.until_idle().await;
    }

    /// Waits until no job waits or runs, except for jobs that are not due yet or held.
    pub async fn until_idle(&self) {
        eventually(async || {
            let jobs = self.jobs("state=ready,blocked,running").await;
            if jobs.is_empty() { Ok(()) } else { Err(json!(jobs)) }
        })
        .await;
    }

    /// The keys of the effects, in order.
    pub async fn effects(&self) -> Vec<String> {
        let rows = self.query("SELECT key FROM effects ORDER BY n").await;
        let keys = rows.iter().map(|row| row[0].as_str().unwrap().to_owned());
        keys.collect()
    }

    /// The rows of a query.
    pub async fn query(&self, sql: &str) -> Vec<Value> {
        let rows = self.step(json!({ "query": sql })).await;
        rows.as_array().unwrap().clone()
    }

    /// The results of the calls that a job reported under a label, with the attempt.
    pub async fn reports(&self, label: &str) -> Vec<(i64, Value)> {
        let sql = format!("SELECT attempt, results FROM reports WHERE label = '{label}' ORDER BY n");
        let rows = self.query(&sql).await;
        let report = |row: &Value| {
            let results = serde_json::from_str(row[1].as_str().unwrap()).unwrap();
            (row[0].as_i64().unwrap(), results)
        };
        rows.iter().map(report).collect()
    }
}

/// A manifest with a database, public routes and further sections.
pub fn manifest(name: &str, sections: &str) -> String {
    open_manifest(
        name,
        &format!("[database]\nmigrations = 'migrations'\n{sections}"),
    )
}

/// A step that writes an effect.
pub fn effect(key: &str) -> Value {
    json!({
        "execute": "INSERT INTO effects (key, job, attempt, origin) VALUES ($1, $2, $3, $4)",
        "params": [key, "$job", "$attempt", "$origin"],
    })
}

/// A job of the kind `work` that writes an effect.
pub fn writing(key: &str) -> Value {
    json!({ "name": "work", "payload": { "do": [effect(key)] } })
}

/// Asks until the answer is the wanted one, because jobs run on other tasks.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Result<T, Value>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(seen) => assert!(tokio::time::Instant::now() < deadline, "{seen:#}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The members of JSON objects.
fn members(items: &[Value], member: &str) -> Vec<String> {
    let texts = items
        .iter()
        .map(|item| item[member].as_str().unwrap_or_default().to_owned());
    texts.collect()
}

/// The outcomes of the attempts of a job.
fn outcomes(job: &Value) -> Vec<String> {
    members(job["attempts"].as_array().unwrap(), "outcome")
}
