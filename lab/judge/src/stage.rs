//! The host under test: one tenant with a plugin that echoes requests, and one that sends and
//! receives messages.

use anyhow::{Context as _, Result, ensure};
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use serde_json::json;

use crate::cases::cases;
use crate::messages::Messages;
use crate::options::Options;

/// The tenant of the plugin.
pub const TENANT: &str = "judged";
pub const PLUGIN: &str = "echo";

/// A running host, and the input of the judges.
pub struct Stage {
    host: Host,
    /// The input of every judge: addresses, credentials and requests, as JSON.
    pub told: String,
    /// The document of the admin API.
    pub openapi: Vec<u8>,
}

impl Stage {
    /// Starts the host and deploys the plugin.
    pub fn new(options: &Options) -> Result<Self> {
        // The judges send without pauses; only the route `seldom` has a rate limit.
        let launch = Launch::new(&options.executable)
            .set("limits.requests_per_second", "100000")
            .set("limits.request_burst", "100000");
        let messages = Messages::new()?;
        let host = messages.configure(launch).start()?;
        let tenant = host.tenant(TENANT)?.keep();
        let guest = Recipe::of(test_artifacts::ECHO)?
            .plugin(PLUGIN)
            .without_routes()
            .route("POST", "/open", "'public'")
            .route("GET", "/read", "'public'")
            .route("POST", "/private", "['api-key']")
            .route_with("POST", "/seldom", "auth = 'public'\nrate = '1/h'")
            .route_with("POST", "/checked", "auth = 'public'\nrequest = 'any.json'")
            .schema("any.json", json!({}))
            .guest();
        tenant.deploy(&guest)?;
        messages.deploy(&host, &tenant)?;
        let used_up = tenant.post(PLUGIN, "/seldom", &json!({}))?;
        ensure!(
            used_up.status == 200,
            "the first request to a route with a rate: {}",
            used_up.seen()
        );
        let (_, key) = tenant.key(&["*"])?;
        let openapi = host.admin().get("/api/v1/openapi.json")?.body;
        let mut told = json!({
            "host": host.public.ip().to_string(),
            "port": host.public.port(),
            "key": key,
            "open": format!("/{TENANT}/{PLUGIN}/open"),
            "read": format!("/{TENANT}/{PLUGIN}/read"),
            "private": format!("/{TENANT}/{PLUGIN}/private"),
            "cases": cases(),
        });
        messages.tell(&host, &mut told)?;
        Ok(Self {
            host,
            told: told.to_string(),
            openapi,
        })
    }

    /// Checks that the host still runs.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.host.has_ended(), "the host has ended: {}", self.host.log());
        self.host
            .http()
            .get("/-/healthz")
            .context("the host's health")?
            .is("200")?;
        Ok(())
    }
}
