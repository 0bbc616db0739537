//! `mortise deploy`: upload, grant, activate.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::build::build_folder;
use super::client::Client;
use super::error::describe_missing;
use super::grants;
use super::{CliError, Output};
use crate::components::bundle::Bundle;
use crate::domain::grant::Grants;
use crate::domain::id::VersionDigest;
use crate::domain::manifest::{Auth, Manifest};

/// Arguments of `mortise deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// A file that `mortise build` made, or a folder, which is built first
    plugin_file: PathBuf,
    /// Name of the tenant
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: String,
    /// Grant exactly what the manifest asks for, beside what is granted already
    #[arg(long)]
    grant: bool,
    /// Upload only, and leave the active version as it is
    #[arg(long, conflicts_with = "grant")]
    no_activate: bool,
    /// Address at which API consumers reach the host, for the URLs that are printed; by default
    /// what the host says
    #[arg(long, value_name = "URL")]
    public_url: Option<url::Url>,
}

impl Deploy {
    /// Uploads, grants and activates.
    pub fn run(self, client: &Client, output: &mut Output) -> Result<(), CliError> {
        let component = if self.plugin_file.is_dir() {
            build_folder(&self.plugin_file, output)?
        } else {
            std::fs::read(&self.plugin_file)
                .map_err(|error| CliError::file("read", &self.plugin_file, &error))?
        };
        let Bundle { manifest, .. } = Bundle::extract(&component)?;
        let digest = VersionDigest::of(&component).to_string();
        let name = manifest.plugin.name.as_str();
        let path = |below: &[&'static str]| {
            let below = below.iter().copied();
            let above = ["tenants", self.tenant.as_str(), "plugins", name];
            above.into_iter().chain(below).collect::<Vec<_>>()
        };
        output.news(format_args!(
            "uploading {name} {} ({} KiB)",
            manifest.plugin.version,
            component.len().div_ceil(1024)
        ));
        let (version, is_new) = client.upload(&path(&["versions"]), &component)?;
        if self.no_activate {
            output.news(format_args!("uploaded {digest}; the active version is as it was"));
            return output.object(&version);
        }
        self.meet_grants(client, &path(&["grants"]), &manifest, output)?;
        let activated = match client.put(&path(&["activation"]), &json!({"version": digest})) {
            Ok(activated) => activated,
            Err(error) => {
                // The host rejected the activation, so the uploaded version is unused. The host
                // refuses to delete an active version.
                if is_new && matches!(error, CliError::Problem(_)) {
                    let version = [path(&["versions"]), vec![digest.as_str()]].concat();
                    match client.delete(&version) {
                        Ok(_) => output.news("the upload was taken back"),
                        Err(why) => output.news(format_args!("the uploaded version {digest} stays: {why}")),
                    }
                }
                return Err(error);
            }
        };
        output.news(format_args!("active: {digest}"));
        report_activation(&activated, output);
        let base = match &self.public_url {
            Some(url) => format!("{}/{}/{name}", url.as_str().trim_end_matches('/'), self.tenant),
            // A host of an earlier version does not say.
            None => match activated["url"].as_str() {
                Some(url) => super::output::printable(url),
                None => format!("/{}/{name}", self.tenant),
            },
        };
        for line in route_lines(&manifest, &base) {
            output.line(line)?;
        }
        if output.is_json() {
            output.data(&activated)
        } else {
            Ok(())
        }
    }

    fn meet_grants(
        &self,
        client: &Client,
        path: &[&str],
        manifest: &Manifest,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let granted: Grants =
            serde_json::from_value(client.get(path)?["grants"].take()).map_err(|error| {
                CliError::failed(format!("the host's grants cannot be understood: {error}"), "")
            })?;
        let missing = granted.missing_for(manifest);
        if missing.is_empty() {
            return Ok(());
        }
        let described: Vec<String> = missing
            .iter()
            .map(|missing| {
                serde_json::to_value(missing)
                    .as_ref()
                    .map(describe_missing)
                    .unwrap_or_default()
            })
            .collect();
        if !self.grant {
            return Err(CliError::failed(
                format!(
                    "uploaded, but not activated: the manifest asks for what {} has not granted\n  missing: {}",
                    self.tenant,
                    described.join("\n  missing: ")
                ),
                "`--grant` grants exactly this",
            ));
        }
        grants::put(client, path, &united(granted, Grants::asked_by(manifest)))?;
        for granted in described {
            output.news(format_args!("granted: {granted}"));
        }
        Ok(())
    }
}

/// Says what an activation did beside switching.
pub fn report_activation(activated: &Value, output: &mut Output) {
    for (name, members) in [("applied migration", "migrations"), ("warning", "warnings")] {
        for member in activated[members]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            output.news(format_args!("{name}: {}", super::output::printable(member)));
        }
    }
}

fn united(mut granted: Grants, asked: Grants) -> Grants {
    granted.database |= asked.database;
    granted.http.extend(asked.http);
    granted.secrets.usable.extend(asked.secrets.usable);
    granted.secrets.reveal.extend(asked.secrets.reveal);
    granted
}

/// The routes and functions of a plugin, with who may call.
fn route_lines(manifest: &Manifest, base: &str) -> Vec<String> {
    let routes = manifest.routes.iter();
    let routes = routes.map(|route| {
        (
            route.method.as_str(),
            route.path.clone(),
            who(&route.auth, &route.scopes),
        )
    });
    let functions = manifest.functions.iter();
    let functions = functions.map(|function| {
        let path = format!("/-/functions/{}", function.name);
        ("POST", path, who(&function.auth, &function.scopes))
    });
    let all: Vec<_> = routes.chain(functions).collect();
    let width = all
        .iter()
        .map(|(method, ..)| method.len())
        .max()
        .unwrap_or_default();
    let line =
        |(method, path, who): &(&str, String, String)| format!("{method:width$}  {base}{path}  ({who})");
    all.iter().map(line).collect()
}

fn who(auth: &Auth, scopes: &BTreeSet<String>) -> String {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    match auth {
        Auth::Public(_) => "public".to_owned(),
        Auth::AnyOf(_) if scopes.is_empty() => "API key".to_owned(),
        Auth::AnyOf(_) => format!("API key with {}", scopes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(
            "[plugin]\nname='p'\nversion='1'\n[[route]]\nmethod='GET'\npath='/x'\nauth='public'\n[[route]]\nmethod='DELETE'\n\
             path='/x/{id}'\nauth=['api-key']\nscopes=['x:write']\n[database]\n[http]\nallow=['https://b.example.com']\n\
             [secrets]\nuse=['k']\n[[function]]\nname='f.g'\nauth=['api-key']\ninput='i.json'\noutput='o.json'\n",
        )
        .unwrap()
    }

    #[test]
    fn grants_are_added_to_those_that_are_there() {
        let before: Grants =
            serde_json::from_value(json!({"http": ["https://a.example.com"], "secrets": {"use": ["old"]}}))
                .unwrap();
        let after = united(before, Grants::asked_by(&manifest()));
        assert_eq!(after.missing_for(&manifest()), []);
        assert_eq!(
            serde_json::to_value(&after).unwrap(),
            json!({
                "database": true,
                "http": ["https://a.example.com", "https://b.example.com"],
                "secrets": {"use": ["k", "old"], "reveal": []},
            })
        );
    }

    #[test]
    fn routes_are_printed_with_who_may_call() {
        assert_eq!(
            route_lines(&manifest(), "http://h/demo/p"),
            [
                "GET     http://h/demo/p/x  (public)",
                "DELETE  http://h/demo/p/x/{id}  (API key with x:write)",
                "POST    http://h/demo/p/-/functions/f.g  (API key)",
            ]
        );
    }
}
