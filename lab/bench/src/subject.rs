//! The host under test and the deployments of the benchmarks' plugin.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::native::NOTES;
use crate::options::Options;
use crate::traffic::Repeated;

/// The body of a request: 75 bytes.
pub const ORDER: &str = r#"{"product":"chair","quantity":2,"note":"to be delivered in the afternoon"}"#;

/// The tenant of the benchmarks.
pub const TENANT: &str = "bench";

/// The names of the plugins: with public routes, with reused instances, and with all features.
const PUBLIC: &str = "public";
const REUSED: &str = "reused";
const EVERYTHING: &str = "everything";

/// The results of a part.
pub struct Found {
    /// The measurements with bars.
    pub bars: Vec<rig::Measured>,
    /// All measurements.
    pub raw: Value,
}

/// A host with the defaults, but with a JSON log.
pub fn launch(options: &Options) -> Launch {
    Launch::new(&options.executable)
}

/// Creates a tenant whose rate limits are never reached, and which keeps a reusable instance for
/// each connection. The rest of its plan is the default.
pub fn tenant(host: &Host, name: &str) -> Result<Tenant> {
    let tenant = host.tenant(name)?.keep();
    tenant.limit(
        &json!({ "requests_per_second": 1_000_000, "request_burst": 2_000_000, "instances_kept": 64 }),
    )?;
    Ok(tenant)
}

/// The plugin of the benchmarks without a database: JSON in and out, on a public route.
pub fn orders() -> Result<Recipe> {
    let recipe = Recipe::of(test_artifacts::BENCH_PLUGIN)?.without_routes();
    Ok(recipe.route("POST", "/orders", "'public'"))
}

/// The same with a table and a route for its rows. The tables of a tenant belong to all its
/// plugins, so only one of them creates it.
pub fn rows() -> Result<Recipe> {
    Ok(orders()?
        .route("GET", "/rows/{id}", "'public'")
        .database(&[NOTES]))
}

/// Deploys the plugin with public routes.
pub fn public(host: &Host, tenant: &Tenant) -> Result<Requests> {
    tenant.deploy(&rows()?.plugin(PUBLIC).guest())?;
    Ok(Requests::new(host.public, &tenant.name, PUBLIC))
}

/// Deploys it with public routes and reused instances.
pub fn reused(host: &Host, tenant: &Tenant) -> Result<Requests> {
    tenant.deploy(&orders()?.plugin(REUSED).reused().guest())?;
    Ok(Requests::new(host.public, &tenant.name, REUSED))
}

/// Deploys it with an API key, a scope, a rate for each caller and a schema.
pub fn everything(host: &Host, tenant: &Tenant) -> Result<Requests> {
    let lines =
        "auth = ['api-key']\nscopes = ['orders:write']\nrequest = 'schemas/order.json'\nrate = '1000000/s'";
    let schema = json!({
        "type": "object",
        "required": ["product", "quantity", "note"],
        "additionalProperties": false,
        "properties": {
            "product": { "type": "string", "minLength": 1, "maxLength": 100 },
            "quantity": { "type": "integer", "minimum": 1, "maximum": 1_000 },
            "note": { "type": "string", "maxLength": 1_000 },
        },
    });
    let recipe = Recipe::of(test_artifacts::BENCH_PLUGIN)?
        .without_routes()
        .plugin(EVERYTHING)
        .schema("schemas/order.json", schema)
        .route_with("POST", "/orders", lines);
    tenant
        .deploy(&recipe.guest())
        .context("the plugin with everything on")?;
    let (_, credential) = tenant.key(&["orders:write"])?;
    let mut requests = Requests::new(host.public, &tenant.name, EVERYTHING);
    requests
        .headers
        .push(("authorization", format!("Bearer {credential}")));
    Ok(requests)
}

/// The requests to a deployed plugin or to the baseline.
#[derive(Clone, Debug)]
pub struct Requests {
    address: SocketAddr,
    base: String,
    headers: Vec<(&'static str, String)>,
}

impl Requests {
    fn new(address: SocketAddr, tenant: &str, plugin: &str) -> Self {
        Self {
            address,
            base: format!("/{tenant}/{plugin}"),
            headers: Vec::new(),
        }
    }

    /// The requests to the baseline.
    pub fn native(address: SocketAddr) -> Self {
        Self {
            address,
            base: String::new(),
            headers: Vec::new(),
        }
    }

    /// The request with a JSON body.
    pub fn order(&self) -> Repeated {
        Repeated {
            body: Some(ORDER.to_owned()),
            ..self.get("/orders")
        }
    }

    /// One row by its key.
    pub fn row(&self) -> Repeated {
        self.get("/rows/7")
    }

    fn get(&self, path: &str) -> Repeated {
        Repeated {
            address: self.address,
            paths: vec![format!("{}{path}", self.base)],
            headers: self.headers.clone(),
            body: None,
        }
    }
}
