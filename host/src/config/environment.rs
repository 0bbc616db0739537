//! Environment variables that override the configuration: `MORTISE_SERVER__PUBLIC` for
//! `server.public`.
//!
//! The crates `figment` and `config` are not used: their errors name the key, but not the line in
//! the file.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::{Table, Value};

use super::{Config, ConfigError};
use crate::fail_point;

/// Prefix of the host's variables.
const PREFIX: &str = "MORTISE_";

/// Separates section and key. Kubernetes sets `MORTISE_SERVICE_HOST` and the like in containers
/// beside a Service named `mortise`, but none of those contains two underscores in a row.
const SEPARATOR: &str = "__";

/// Variables of the command line and of tests, which are no keys.
const OTHER: [&str; 5] = [
    "MORTISE_CONFIG",
    "MORTISE_HOST",
    "MORTISE_TENANT",
    fail_point::VARIABLE,
    "MORTISE_TOKEN",
];

/// The values that environment variables set.
#[derive(Debug, Default)]
pub struct Environment {
    /// The values by section and key.
    values: Table,
    /// Variables with the prefix that name no key. They are ignored.
    pub foreign: Vec<String>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
struct Key {
    section: String,
    name: String,
    /// The default value. Ceilings have no default, so theirs is that of the limit.
    example: String,
}

impl Key {
    /// The variable that overrides the key.
    fn variable(&self) -> String {
        format!("{PREFIX}{}{SEPARATOR}{}", self.section, self.name).to_uppercase()
    }

    /// The name of the variable in earlier versions.
    fn old_variable(&self) -> String {
        format!("{PREFIX}{}_{}", self.section, self.name).to_uppercase()
    }
}

impl Environment {
    /// Reads the variables of the configuration and checks each of them.
    pub fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let keys = keys();
        let mut environment = Self::default();
        let variables = sorted(variables);
        let renamed = renamed(&keys, &variables);
        if !renamed.is_empty() {
            return Err(ConfigError::RenamedVariables(renamed));
        }
        for (variable, text) in variables {
            if !variable.contains(SEPARATOR) {
                environment.foreign.push(variable);
                continue;
            }
            let key = keys.iter().find(|key| key.variable() == variable);
            let key = key.ok_or_else(|| ConfigError::UnknownVariable(variable.clone()))?;
            let value = value(key, &text).map_err(|message| ConfigError::Variable {
                variable: variable.clone(),
                message,
            })?;
            section(&mut environment.values, &key.section).insert(key.name.clone(), value);
        }
        Ok(environment)
    }

    /// Replaces values of `config` by those of the variables.
    pub fn apply(self, config: Config) -> Result<Config, ConfigError> {
        if self.values.is_empty() {
            return Ok(config);
        }
        let mut all = Table::try_from(config).map_err(|error| ConfigError::Environment(error.to_string()))?;
        for (name, values) in self.values {
            if let Value::Table(values) = values {
                section(&mut all, &name).extend(values);
            }
        }
        all.try_into()
            .map_err(|error: toml::de::Error| ConfigError::Environment(error.message().to_owned()))
    }
}

/// The variables with the prefix, without [`OTHER`], sorted for reproducible errors. Names that are
/// not UTF-8 are skipped.
fn sorted(variables: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, OsString> {
    variables
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text)))
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHER.contains(&name.as_str()))
        .collect()
}

/// The variables that are written as in earlier versions: the old and the new name of each.
fn renamed(keys: &[Key], variables: &BTreeMap<String, OsString>) -> Vec<(String, String)> {
    let old = variables.keys().filter_map(|variable| {
        let key = keys.iter().find(|key| key.old_variable() == *variable)?;
        Some((variable.clone(), key.variable()))
    });
    old.collect()
}

/// All keys of the configuration.
fn keys() -> Vec<Key> {
    let mut sections = Table::try_from(Config::default()).unwrap_or_default();
    // Ceilings have no defaults, so the default configuration does not list them.
    if let Some(limits) = sections.get("limits").cloned() {
        sections.insert("ceiling".to_owned(), limits);
    }
    let mut keys = Vec::new();
    for (section, values) in &sections {
        for (name, value) in values.as_table().into_iter().flatten() {
            keys.push(Key {
                section: section.clone(),
                name: name.clone(),
                example: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            });
        }
    }
    keys
}

/// The value that a variable sets, or what is wrong with it.
fn value(key: &Key, text: &OsString) -> Result<Value, String> {
    let text = text.to_str().ok_or("it is not UTF-8")?;
    let mut message = String::new();
    // Most values are text, so that is tried first. Then the value is parsed as TOML.
    for value in [Some(Value::String(text.to_owned())), literal(text)]
        .into_iter()
        .flatten()
    {
        let mut alone = Table::new();
        section(&mut alone, &key.section).insert(key.name.clone(), value.clone());
        match alone.try_into::<Config>() {
            Ok(_) => return Ok(value),
            Err(error) => message = error.message().to_owned(),
        }
    }
    Err(with_example(&message, key))
}

/// The error with an example of a valid value.
fn with_example(message: &str, key: &Key) -> String {
    let example = match message.contains("expected a sequence") {
        true => r#"a list is written like ["one", "two"]"#.to_owned(),
        false if key.example.is_empty() => return message.to_owned(),
        false => format!("for example {}={}", key.variable(), key.example),
    };
    format!("{message}; {example}")
}

fn literal(text: &str) -> Option<Value> {
    let table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.get("value").cloned()
}

/// The table of a section, created if it is missing.
fn section<'a>(sections: &'a mut Table, name: &str) -> &'a mut Table {
    let section = sections.entry(name).or_insert_with(|| Value::Table(Table::new()));
    match section {
        Value::Table(table) => table,
        _ => unreachable!("every value of the outermost table is a section"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Environment, ConfigError> {
        Environment::read(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        environment(variables)?.apply(Config::default())
    }

    #[test]
    fn every_kind_of_value_can_be_overridden() {
        let config = with(&[
            ("MORTISE_SERVER__PUBLIC", "0.0.0.0:80"),
            ("MORTISE_RUNTIME__INSTANCES", "64"),
            ("MORTISE_HTTP_CLIENT__ALLOW_LOOPBACK", "true"),
            ("MORTISE_LIMITS__CPU", "20ms"),
            ("MORTISE_CEILING__MEMORY", "1GiB"),
            ("MORTISE_SHIELD__PROPOSALS", "['simd', 'multi-memory']"),
            ("MORTISE_SHIELD__IMPORTS", r#"["wasi:random/*"]"#),
            ("MORTISE_HOST", "for the command line"),
            ("HOME", "/somewhere"),
        ])
        .unwrap();
        assert_eq!(config.server.public.to_string(), "0.0.0.0:80");
        assert_eq!(config.runtime.instances, 64);
        assert!(config.http_client.allow_loopback);
        assert_eq!(config.limits.cpu.to_string(), "20ms");
        assert_eq!(config.ceiling.memory.unwrap().to_string(), "1GiB");
        let proposals: Vec<String> = config.shield.proposals.iter().map(ToString::to_string).collect();
        assert_eq!(proposals, ["simd", "multi-memory"]);
        assert_eq!(config.shield.imports[0].to_string(), "wasi:random/*");
    }

    #[test]
    fn what_is_not_set_stays_as_it_was() {
        let config: Config =
            toml::from_str("[server]\nadmin = '127.0.0.1:1'\n[ceiling]\ncpu = '1s'\n").unwrap();
        let variables = environment(&[
            ("MORTISE_SERVER__PUBLIC", "127.0.0.1:2"),
            ("MORTISE_CEILING__WALL", "5s"),
        ]);
        let changed = variables.unwrap().apply(config.clone()).unwrap();
        let mut wanted = config;
        wanted.server.public = "127.0.0.1:2".parse().unwrap();
        wanted.ceiling.wall = Some("5s".parse().unwrap());
        assert_eq!(changed, wanted);
    }

    #[test]
    fn what_does_not_fit_is_named_with_an_example() {
        let said = |variable, value| with(&[(variable, value)]).unwrap_err().to_string();
        let unknown = said("MORTISE_SERVER__PUBLIK", "x");
        insta::assert_snapshot!(unknown, @"the environment variable MORTISE_SERVER__PUBLIK names no key of the configuration; a key `section.key` is written MORTISE_SECTION__KEY");
        for (variable, value, wanted, example) in [
            (
                "MORTISE_RUNTIME__INSTANCES",
                "many",
                "expected u32",
                "for example MORTISE_RUNTIME__INSTANCES=256",
            ),
            (
                "MORTISE_SERVER__PUBLIC",
                "localhost:80",
                "`localhost:80` is not an IP address with a port, such as 127.0.0.1:8080",
                "MORTISE_SERVER__PUBLIC=127.0.0.1:8080",
            ),
            (
                "MORTISE_CEILING__MEMORY",
                "much",
                "does not fit",
                "for example MORTISE_CEILING__MEMORY=64MiB",
            ),
            (
                "MORTISE_SHIELD__PROPOSALS",
                "['sim']",
                "`sim` is not a proposal",
                "MORTISE_SHIELD__PROPOSALS=[]",
            ),
            (
                "MORTISE_SHIELD__INSTRUCTIONS",
                "call_indirect",
                "a list",
                r#"["one", "two"]"#,
            ),
        ] {
            let error = said(variable, value);
            for part in [variable, wanted, example] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn variables_of_an_earlier_version_are_refused_with_their_new_names() {
        let error = with(&[
            ("MORTISE_SERVER_PUBLIC", "x"),
            ("MORTISE_SERVER__ADMIN", "127.0.0.1:1"),
            ("MORTISE_HTTP_CLIENT_ALLOW_LOOPBACK", "x"),
            ("MORTISE_CEILING_MEMORY", "x"),
        ])
        .unwrap_err()
        .to_string();
        assert_eq!(
            error,
            "environment variables of the configuration have other names by now: MORTISE_CEILING_MEMORY is now \
             MORTISE_CEILING__MEMORY, MORTISE_HTTP_CLIENT_ALLOW_LOOPBACK is now MORTISE_HTTP_CLIENT__ALLOW_LOOPBACK, \
             MORTISE_SERVER_PUBLIC is now MORTISE_SERVER__PUBLIC"
        );
    }

    #[test]
    fn what_others_set_is_told_and_ignored() {
        // Variables that Kubernetes sets beside a Service named `mortise`.
        let names = [
            "MORTISE_PORT",
            "MORTISE_PORT_8080_TCP",
            "MORTISE_PORT_8080_TCP_ADDR",
            "MORTISE_PORT_8080_TCP_PORT",
            "MORTISE_PORT_8080_TCP_PROTO",
            "MORTISE_SERVICE_HOST",
            "MORTISE_SERVICE_PORT",
            "MORTISE_SERVICE_PORT_HTTP",
        ];
        let environment = environment(&names.map(|name| (name, "tcp://10.0.0.1:8080"))).unwrap();
        assert_eq!(environment.foreign, names);
        assert_eq!(environment.apply(Config::default()).unwrap(), Config::default());
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_only_if_it_is_a_keys() {
        use std::os::unix::ffi::OsStringExt as _;
        let set =
            |name: &str| Environment::read(std::iter::once((name.into(), OsString::from_vec(vec![0xff]))));
        assert!(set("PATH").unwrap().foreign.is_empty());
        let error = set("MORTISE_DATA__FOLDER").unwrap_err().to_string();
        assert!(
            error.contains("MORTISE_DATA__FOLDER does not fit: it is not UTF-8"),
            "{error}"
        );
    }
}
