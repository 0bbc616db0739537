//! `cargo xtask demo`: starts a host with a tenant, two plugins and some products.
//!
//! It shows a job that is retried, a dead letter that is replayed and the next runs of a schedule.
//! Then it shows an order that is paid by a webhook, with its mail, its job for the ERP and the
//! sales report. It prints `curl` lines to try it.
//!
//! It uses the command line as a user would. The results of an earlier demo are kept: the tenant,
//! its key, its data, its settings, and the active versions unless the plugins' sources have
//! changed.

mod background;
mod erp;
mod http;
mod mortise;
mod options;
mod payment;
mod secret_file;
mod server;
mod tour;

use std::path::Path;

use crate::prepare::prepare;
use crate::run::{self, cargo, root, target_folder};
use crate::steps::{Result, Steps, say};

use erp::Erp;
use mortise::{Built, Mortise};
use options::Options;
use server::Server;

pub const TENANT: &str = "demo";

const PLUGINS: [&str; 2] = ["hello", "orders"];
const RATES_URL: &str = "rates_url=https://api.frankfurter.dev/v1/latest";
const WEBHOOK_SECRET: &str = "payment_webhook";

/// Runs the demo until Ctrl-C.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let target = target_folder()?;
    let mut steps = Steps::new(7);
    steps.step("checking the toolchain", prepare)?;
    steps.step(
        "building the host (the first time takes some minutes: wasmtime is compiled)",
        || {
            // The build has the features of the whole workspace, so that the tests need not build
            // any dependency again.
            run::run(&mut cargo(&["build", "--workspace", "--bin", "mortise"]))
        },
    )?;
    let mortise = Mortise::new(target.join("debug/mortise"), &options);
    let plugins = steps.step("building the plugins", || {
        let build = |name| {
            let folder = root().join("plugins").join(name);
            let file = target.join("demo").join(format!("{name}.wasm"));
            let built = mortise.build(&folder, &file)?;
            match name {
                "orders" => Ok((name, erp::build(&mortise, &folder, &target, &options)?)),
                name => Ok((name, built)),
            }
        };
        PLUGINS.into_iter().map(build).collect::<Result<Vec<_>>>()
    })?;
    let erp = Erp::start(options.erp)?;
    let server = steps.step("starting the host", || {
        Server::start(&mortise.executable, &options)
    })?;
    let ready = steps.step("creating the tenant and deploying the plugins", || {
        furnish(&mortise, &options, &plugins)
    });
    let shown = ready.and_then(|(key, product)| {
        steps.step("running jobs of the shop", || {
            background::show(&mortise, &options, &erp, &key, product)
        })?;
        steps.step("paying an order", || {
            payment::show(&mortise, &options, &key, product)
        })?;
        Ok(product)
    });
    match shown {
        Ok(product) => {
            let commands = mortise.executable.parent().unwrap_or(Path::new(""));
            say(&tour::text(&options, commands, product));
            server.stay()
        }
        Err(error) => {
            server.stop()?;
            Err(error)
        }
    }
}

/// Creates what is missing. Returns the key of the tenant, and a product.
fn furnish(mortise: &Mortise, options: &Options, plugins: &[(&str, Built)]) -> Result<(String, i64)> {
    let is_demo = |tenant: &serde_json::Value| tenant["name"] == TENANT;
    if !mortise.list(&["tenants", "list"])?.iter().any(is_demo) {
        mortise.run(&["tenants", "create", TENANT])?;
    }
    let key = secret_file::read_or_make(&options.data.join("demo.key"), || {
        let created = mortise.json(&[
            "keys",
            "create",
            "cargo xtask demo",
            "--tenant",
            TENANT,
            "--scopes",
            "*",
        ])?;
        created["credential"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the new key has no credential".to_owned())
    })?;
    let secrets = mortise.list(&["secrets", "list", "--tenant", TENANT])?;
    if !secrets.iter().any(|secret| secret["name"] == WEBHOOK_SECRET) {
        let value =
            secret_file::read_or_make(&options.data.join("demo.webhook-secret"), secret_file::random)?;
        mortise.run_with_input(&["secrets", "set", WEBHOOK_SECRET, "--tenant", TENANT], &value)?;
    }
    for (name, built) in plugins {
        mortise.deploy_if_new(name, built)?;
    }
    let settings = mortise.json(&["config", "list", "--tenant", TENANT, "--plugin", "orders"])?;
    if settings.get("rates_url").is_none() {
        mortise.run(&[
            "config", "set", RATES_URL, "--tenant", TENANT, "--plugin", "orders",
        ])?;
    }
    let erp_url = erp::url(options);
    if settings["erp_url"] != erp_url.as_str() {
        let setting = format!("erp_url={erp_url}");
        mortise.run(&[
            "config", "set", &setting, "--tenant", TENANT, "--plugin", "orders",
        ])?;
    }
    let product = tour::stock_the_shop(options, &key)?;
    Ok((key, product))
}
