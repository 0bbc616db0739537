//! Environment variables over the configuration: `MORTISE_SERVER_PUBLIC` for `server.public`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, ConfigError};

/// What variables of the configuration start with.
const PREFIX: &str = "MORTISE_";

/// Variables that are for the command line.
const COMMAND_LINE: [&str; 4] = [
    "MORTISE_CONFIG",
    "MORTISE_HOST",
    "MORTISE_TOKEN",
    "MORTISE_TENANT",
];

/// The sections by name. They are listed because a section of which nothing is set is not in the defaults.
const SECTIONS: [&str; 11] = [
    "breaker",
    "ceiling",
    "compile",
    "data",
    "http_client",
    "limits",
    "log",
    "retention",
    "runtime",
    "server",
    "shield",
];

/// `config` with the variables of `environment` in place of some values.
pub fn apply(
    config: Config,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let ours =
        |(name, _): &(String, String)| name.starts_with(PREFIX) && !COMMAND_LINE.contains(&name.as_str());
    let variables: BTreeMap<String, String> = environment.filter(ours).collect();
    variables
        .into_iter()
        .try_fold(config, |config, (variable, text)| set(&config, &variable, &text))
}

/// One variable at a time, so that an error can name it.
fn set(config: &Config, variable: &str, text: &str) -> Result<Config, ConfigError> {
    let path = variable[PREFIX.len()..].to_lowercase();
    let unknown = || ConfigError::UnknownVariable(variable.to_owned());
    let (section, key) = SECTIONS
        .iter()
        .find_map(|section| Some((*section, path.strip_prefix(section)?.strip_prefix('_')?)))
        .ok_or_else(unknown)?;
    // Text first, since most values are; what is no text is a number, a boolean or a list as TOML writes it.
    let mut message = String::new();
    for value in [Some(Value::String(text.to_owned())), literal(text)]
        .into_iter()
        .flatten()
    {
        let mut table = Table::try_from(config).map_err(|error| ConfigError::Variable {
            variable: variable.to_owned(),
            message: error.to_string(),
        })?;
        let keys = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let keys = keys.as_table_mut().ok_or_else(unknown)?;
        keys.insert(key.to_owned(), value);
        match table.try_into::<Config>() {
            Ok(config) => return Ok(config),
            Err(error) => message = named(error.message()),
        }
    }
    if message.starts_with("unknown field") {
        return Err(unknown());
    }
    Err(ConfigError::Variable {
        variable: variable.to_owned(),
        message,
    })
}

/// What is wrong, with an example if a list was expected: few would guess how one is written.
fn named(message: &str) -> String {
    match message.contains("expected a sequence") {
        true => format!("a list is expected here, written like [\"one\", \"two\"] ({message})"),
        false => message.to_owned(),
    }
}

fn literal(text: &str) -> Option<Value> {
    let table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.get("value").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        apply(Config::default(), owned)
    }

    #[test]
    fn every_kind_of_value_can_be_overridden() {
        let config = with(&[
            ("MORTISE_SERVER_PUBLIC", "0.0.0.0:80"),
            ("MORTISE_RUNTIME_INSTANCES", "64"),
            ("MORTISE_HTTP_CLIENT_ALLOW_LOOPBACK", "true"),
            ("MORTISE_LIMITS_CPU", "20ms"),
            ("MORTISE_CEILING_MEMORY", "1GiB"),
            ("MORTISE_SHIELD_PROPOSALS", "['simd', 'multi-memory']"),
            ("MORTISE_SHIELD_IMPORTS", r#"["wasi:random/*"]"#),
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
    fn what_does_not_fit_is_named() {
        for (variable, value, wanted) in [
            ("MORTISE_SERVER_PUBLIK", "x", "names no key"),
            ("MORTISE_NOWHERE", "x", "names no key"),
            ("MORTISE_RUNTIME_INSTANCES", "many", "does not fit"),
            ("MORTISE_SERVER_PUBLIC", "here", "does not fit"),
            ("MORTISE_SHIELD_PROPOSALS", "['sim']", "`sim` is no proposal"),
            ("MORTISE_SHIELD_INSTRUCTIONS", "call_indirect", "a list"),
        ] {
            let error = with(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains(wanted), "{error}");
        }
    }
}
