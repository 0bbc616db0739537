//! The shop: the plugin `plugins/orders`, deployed by the command line as its owner would.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use rig::http::Http;
use serde_json::{Value, json};

use super::doubles::Doubles;
use crate::stage::Scale;

/// The tenant.
pub const TENANT: &str = "shop";

/// A plugin of the same tenant, which reads the tables of the shop.
pub const AUDITOR: &str = "auditor";

/// The secret that signs the events of the payment provider.
pub const SECRET: &str = "whsec_of_the_kills";

/// The folder of the plugin.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/orders");

/// The products, and how many of each there are.
const PRODUCTS: [(&str, i64); 3] = [("chair", 100_000), ("table", 200), ("lamp", 20)];

/// A product of the shop.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub id: i64,
    /// The stock that it was added with.
    pub stock: i64,
}

pub struct Shop {
    executable: PathBuf,
    scale: Scale,
}

impl Shop {
    pub fn new(executable: &Path, scale: Scale) -> Self {
        Self {
            executable: executable.to_owned(),
            scale,
        }
    }

    /// The launch of a host.
    pub fn launch(&self) -> Launch {
        let launch = Launch::new(&self.executable)
            .set("http_client.allow_loopback", "true")
            .set("limits.requests_per_second", "1000000")
            .set("limits.request_burst", "1000000")
            .set("limits.job_backlog", "1000000")
            .set("limits.jobs_kept", "1000000")
            .set("limits.mails_per_hour", "1000000")
            // The kills are no fault of the plugin.
            .set("breaker.failures", "0");
        match self.scale {
            Scale::Full => launch,
            // Unoptimized builds on a busy machine are slower than the default budgets allow.
            Scale::Quick => launch
                .set("limits.cpu", "10s")
                .set("limits.wall", "30s")
                .set("ceiling.cpu", "30s"),
        }
    }

    /// Creates the tenant, and deploys the plugin. Returns an API key.
    pub fn open(&self, host: &Host, doubles: &Doubles) -> Result<String> {
        let tenant = host.tenant(TENANT)?.keep();
        for name in ["payment_webhook", "payment_webhook_next"] {
            tenant.secret(name, SECRET)?;
        }
        let folder = self.folder(doubles)?;
        let built = folder.path().join("orders.wasm");
        mortise(
            Command::new(&self.executable)
                .arg("build")
                .arg(folder.path().join("orders"))
                .arg("--component")
                .arg(test_artifacts::ORDERS)
                .arg("--out")
                .arg(&built),
        )?;
        mortise(
            Command::new(&self.executable)
                .arg("deploy")
                .arg(&built)
                .args(["--tenant", TENANT, "--grant"])
                .args(["--host", &format!("http://{}", host.admin)])
                .arg("--token-file")
                .arg(host.data().join("operator.token"))
                .env_remove("MORTISE_TOKEN"),
        )?;
        let settings = json!({
            "payments_url": doubles.payments_url(),
            "erp_url": doubles.erp_url(),
            // Reservations expire while payments are on their way.
            "reservation_minutes": "1",
        });
        let path = tenant.path("/plugins/orders/config");
        host.admin()
            .json("PUT", &path, &settings)?
            .ok()
            .context("the settings")?;
        let auditor = Recipe::of(test_artifacts::BACKGROUND)?
            .plugin(AUDITOR)
            .database(&[]);
        tenant.deploy(&auditor.guest()).context("the auditor")?;
        Ok(tenant.key(&["*"])?.1)
    }

    /// Adds the products.
    pub fn stock(&self, host: &Host, key: &str) -> Result<Vec<Product>> {
        let http = host.http().bearer(key);
        let mut products = Vec::new();
        for (name, stock) in PRODUCTS {
            let product = json!({ "sku": name, "name": name, "price_cents": 1_250, "stock": stock });
            let made = http.post(&path("/products"), &product)?.is("201")?.body()?;
            let id = made["id"].as_i64().context("a product has an id")?;
            products.push(Product { id, stock });
        }
        Ok(products)
    }

    /// A copy of the plugin's folder, with the doubles in its manifest.
    fn folder(&self, doubles: &Doubles) -> Result<tempfile::TempDir> {
        let folder = tempfile::TempDir::with_prefix("mortise-orders-")?;
        let copy = folder.path().join("orders");
        for inner in ["migrations", "schemas", "templates"] {
            std::fs::create_dir_all(copy.join(inner))?;
            let files = std::fs::read_dir(Path::new(FOLDER).join(inner));
            for file in files.with_context(|| format!("{FOLDER}/{inner}"))? {
                let file = file?;
                std::fs::copy(file.path(), copy.join(inner).join(file.file_name()))?;
            }
        }
        let manifest = std::fs::read_to_string(Path::new(FOLDER).join("plugin.toml"))?;
        let manifest = manifest
            .replace("https://payments.example.com", &doubles.payments_origin())
            .replace("https://erp.example.com", &doubles.erp_origin())
            // Unoptimized hosts are slower than the plugin's budget allows.
            .replace("cpu = \"50ms\"", "cpu = \"2s\"")
            .replace("rate = \"600/min\"", "rate = \"600000/min\"");
        std::fs::write(copy.join("plugin.toml"), manifest)?;
        Ok(folder)
    }
}

/// Runs a command of the executable.
fn mortise(command: &mut Command) -> Result<()> {
    let output = command.output().context("the command line of the host")?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A path of the shop on the public listener.
pub fn path(below: &str) -> String {
    format!("/{TENANT}/orders{below}")
}

/// The rows of a query in the tenant's database.
pub fn query(host: &Host, sql: &str) -> Result<Vec<Vec<Value>>> {
    let step = json!({ "do": [{ "query": sql }] });
    let http: Http = host.http();
    let answer = http
        .post(&format!("/{TENANT}/{AUDITOR}/"), &step)?
        .is("200")?
        .body()?;
    ensure!(answer[0].get("ok").is_some(), "{sql}: {answer}");
    Ok(serde_json::from_value(answer[0]["ok"].clone())?)
}
