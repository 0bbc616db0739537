//! Deploys a plugin whose routes have the schemas of the suite.

use anyhow::{Context as _, Result, bail};
use rig::guest::Recipe;
use rig::tenant::Tenant;
use serde_json::value::RawValue;

use crate::suite::Case;

/// The number of cases of one plugin: a manifest has at most 500 routes.
pub const MAX_CASES: usize = 250;

const PLUGIN: &str = "suite";

/// A deployed plugin.
pub struct Deployed<'a> {
    tenant: &'a Tenant,
    /// The cases by the number of their route.
    pub cases: Vec<(usize, Case)>,
    /// The cases whose schema was rejected, with the reason.
    pub refused: Vec<(String, String)>,
}

/// The host's verdict on an instance.
pub struct Answer {
    /// Whether the instance matches.
    pub is_valid: bool,
    /// The status and the code.
    pub seen: String,
}

impl<'a> Deployed<'a> {
    /// Deploys the cases, except those whose schema the host rejects.
    pub fn new(tenant: &'a Tenant, cases: Vec<Case>, contract: &str) -> Result<Self> {
        let mut deployed = Self {
            tenant,
            cases: cases.into_iter().enumerate().collect(),
            refused: Vec::new(),
        };
        loop {
            let guest = deployed.recipe(contract)?.guest();
            let reply = tenant.upload(PLUGIN, &guest.component)?;
            if reply.status < 300 {
                let uploaded = reply.ok()?;
                let version = uploaded["version"].as_str().context("an upload has a version")?;
                tenant.activate(PLUGIN, version)?.ok()?;
                return Ok(deployed);
            }
            let detail = reply.body()?["detail"].as_str().unwrap_or_default().to_owned();
            deployed.leave_out(&detail)?;
        }
    }

    fn recipe(&self, contract: &str) -> Result<Recipe> {
        let echo = match contract {
            "0.1" => test_artifacts::ECHO_0_1,
            _ => test_artifacts::ECHO,
        };
        let mut recipe = Recipe::of(echo)?
            .without_routes()
            .plugin(PLUGIN)
            .contract(contract);
        for (number, case) in &self.cases {
            let lines = format!("auth = 'public'\nrequest = 's{number}.json'");
            recipe = recipe
                .route_with("POST", &format!("/{number}"), &lines)
                .schema(&format!("s{number}.json"), case.schema.clone());
        }
        Ok(recipe)
    }

    /// Removes the case that a rejection names.
    fn leave_out(&mut self, detail: &str) -> Result<()> {
        let named = detail.split_once(".json: ").and_then(|(file, reason)| {
            let number: usize = file.strip_prefix('s')?.parse().ok()?;
            Some((self.cases.iter().position(|(route, _)| *route == number)?, reason))
        });
        let Some((index, reason)) = named else {
            bail!("an upload was refused, but not for a schema: {detail}");
        };
        let (_, case) = self.cases.remove(index);
        self.refused.push((case.name, reason.to_owned()));
        Ok(())
    }

    /// Sends an instance and returns the host's verdict.
    pub fn answer(&self, route: usize, instance: &RawValue) -> Result<Answer> {
        let reply = self
            .tenant
            .post_text(PLUGIN, &format!("/{route}"), instance.get())?;
        let seen = reply.seen();
        let is_valid = match seen.as_str() {
            "200" => true,
            "400 validation-failed" => false,
            _ => bail!("{seen} for {}: {}", instance.get(), reply.text()),
        };
        Ok(Answer { is_valid, seen })
    }
}
