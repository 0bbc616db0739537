//! `mortise deploy`: uploads, grants and activates a plugin.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::build::build_folder;
use super::client::Client;
use super::error::describe_missing;
use super::grants;
use super::output::printable;
use super::{CliError, Output};
use crate::components::bundle::Bundle;
use crate::domain::function;
use crate::domain::grant::Grants;
use crate::domain::id::VersionDigest;
use crate::domain::manifest::{Auth, Manifest};
use crate::wire::activations::ActivatedView;
use crate::wire::settings::GrantsView;

/// Arguments of `mortise deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// A file from `mortise build`, or a folder, which is built first
    plugin_file: PathBuf,
    /// Name of the tenant
    #[arg(long, env = "MORTISE_TENANT", value_name = "NAME")]
    tenant: String,
    /// Grant what the manifest asks for, in addition to the existing grants; needs the role owner
    #[arg(long)]
    grant: bool,
    /// Upload only, without changing the active version
    #[arg(long, conflicts_with = "grant")]
    no_activate: bool,
    /// Address at which API consumers reach the host, for the printed URLs; by default the host
    /// reports it
    #[arg(long, value_name = "URL")]
    public_url: Option<url::Url>,
}

impl Deploy {
    /// Uploads, grants and activates the plugin.
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
        report("warning", &version.warnings, output);
        if self.no_activate {
            output.news(format_args!(
                "uploaded {digest}; the active version was not changed"
            ));
            return output.object(&version);
        }
        if let Err(error) = self.meet_grants(client, &path(&["grants"]), &manifest, output) {
            output.news(format_args!(
                "the uploaded version {digest} stays, and is not active; once everything is granted, `mortise \
                 versions activate {digest} --tenant {} --plugin {name}` makes it active",
                self.tenant
            ));
            return Err(error);
        }
        let activated: ActivatedView = match client.put(&path(&["activation"]), &json!({"version": digest})) {
            Ok(activated) => activated,
            Err(error) => {
                // The host rejected the activation, so the uploaded version is unused. The host
                // never deletes an active version.
                if is_new && matches!(error, CliError::Problem(_)) {
                    let version = [path(&["versions"]), vec![digest.as_str()]].concat();
                    match client.delete(&version) {
                        Ok(()) => output.news("the uploaded version was deleted again"),
                        Err(why) => output.news(format_args!("the uploaded version {digest} stays: {why}")),
                    }
                }
                return Err(error);
            }
        };
        report_activation(name, &activated, output)?;
        let base = match &self.public_url {
            Some(url) => format!("{}/{}/{name}", url.as_str().trim_end_matches('/'), self.tenant),
            // A host of an earlier version does not send the URL.
            None if activated.url.is_empty() => format!("/{}/{name}", self.tenant),
            None => printable(&activated.url),
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
        let GrantsView { grants: granted, .. } = client.get(path)?;
        let missing = granted.missing_for(manifest);
        if missing.is_empty() {
            return Ok(());
        }
        let described: Vec<String> = missing.iter().map(describe_missing).collect();
        if !self.grant {
            return Err(CliError::failed(
                format!(
                    "uploaded, but not activated: the manifest asks for what {} has not granted\n  missing: {}",
                    self.tenant,
                    described.join("\n  missing: ")
                ),
                "`--grant` grants exactly this; it takes the token of an owner of the tenant",
            ));
        }
        grants::put(client, path, &united(granted, Grants::asked_by(manifest)))?;
        for granted in described {
            output.news(format_args!("granted: {granted}"));
        }
        Ok(())
    }
}

/// Prints the result of an activation. With `--json`, the caller prints it.
pub fn report_activation(
    plugin: &str,
    activated: &ActivatedView,
    output: &mut Output,
) -> Result<(), CliError> {
    output.line(activation_line(plugin, activated))?;
    report("applied migration", &activated.migrations, output);
    report("warning", &activated.warnings, output);
    Ok(())
}

/// The active version and the one before it, as a sentence.
fn activation_line(plugin: &str, activated: &ActivatedView) -> String {
    // A host of an earlier version does not send the author's version.
    let named = |name: &str, digest: VersionDigest| match name.is_empty() {
        true => digest.to_string(),
        false => format!("{} ({digest})", printable(name)),
    };
    let activation = &activated.activation;
    let now = named(&activated.author_version, activation.version);
    let previous_name = activated.previous_author_version.as_deref().unwrap_or_default();
    let previous = activation
        .previous
        .filter(|previous| *previous != activation.version);
    let before = previous.map_or_else(String::new, |previous| {
        format!("; before it was {}", named(previous_name, previous))
    });
    format!("{plugin}: {now} is the active version{before}")
}

/// A line for each text in a list.
pub fn report(name: &str, texts: &[String], output: &mut Output) {
    for text in texts {
        output.news(format_args!("{name}: {}", printable(text)));
    }
}

fn united(mut granted: Grants, asked: Grants) -> Grants {
    granted.database |= asked.database;
    granted.http.extend(asked.http);
    granted.secrets.usable.extend(asked.secrets.usable);
    granted.secrets.reveal.extend(asked.secrets.reveal);
    granted.events.extend(asked.events);
    granted.email.extend(asked.email);
    granted
}

/// The routes and functions of a plugin, and who may call them.
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
        (
            "POST",
            function::path(&function.name),
            who(&function.auth, &function.scopes),
        )
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
    fn an_activation_is_one_sentence() {
        let (first, second) = (VersionDigest::of(b"1"), VersionDigest::of(b"2"));
        let line = |answer| {
            let activated: ActivatedView = serde_json::from_value(answer).unwrap();
            activation_line("shop", &activated)
        };
        let activated = json!({
            "sequence": 2, "actor": "host", "at": "2026-01-02T03:04:05Z", "migrations": [], "warnings": [],
            "version": second, "author_version": "2.0.0", "previous": first, "previous_author_version": "1.0.0",
            "url": "http://h/demo/shop",
        });
        assert_eq!(
            line(activated),
            format!("shop: 2.0.0 ({second}) is the active version; before it was 1.0.0 ({first})")
        );
        let of_an_earlier_host = json!({
            "sequence": 1, "actor": "host", "at": "2026-01-02T03:04:05Z", "migrations": [], "warnings": [],
            "version": second, "previous": null,
        });
        assert_eq!(
            line(of_an_earlier_host),
            format!("shop: {second} is the active version")
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
