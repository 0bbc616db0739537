//! The shield: rules with which an operator refuses components, because of a fault in the engine
//! without a fix yet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::features::{self, FEATURES};
use super::uses::{self, Uses};

/// The rules of the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shield {
    /// WebAssembly proposals: `simd`.
    pub proposals: Vec<Proposal>,
    /// Instructions by name or prefix: `call_indirect`, `v128.*`.
    pub instructions: Vec<Instruction>,
    /// Imports: `wasi:random/*`, `wasi:cli/environment`, `mortise:plugin/database#query`.
    pub imports: Vec<Import>,
}

/// A known proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal(String);

/// A known instruction or a prefix of known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction(String);

/// A pattern for imports. `*` matches any text. Without an `@`, it matches all versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import(String);

/// Why a rule is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// There is no such proposal.
    #[error("`{0}` is not a proposal that this host knows; it knows {known}", known = known_proposals())]
    Proposal(String),
    /// There is no such instruction.
    #[error(
        "`{0}` is not an instruction; write `call_indirect`, `i32.add`, or `v128.*` for all with this prefix"
    )]
    Instruction(String),
    /// The text does not have the form of an import.
    #[error("`{0}` is not an import; write `wasi:random/*` or `mortise:plugin/database#query`")]
    Import(String),
    /// The kind of rule is unknown.
    #[error(
        "`{0}` is not a rule; write `proposal:simd`, `instruction:call_indirect` or `import:wasi:random/*`"
    )]
    Kind(String),
}

impl Shield {
    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.proposals.is_empty() && self.instructions.is_empty() && self.imports.is_empty()
    }

    /// Rules that match no interface of this host and therefore have no effect, most likely because
    /// of a typing error.
    pub fn unknown_imports(&self) -> impl Iterator<Item = &Import> {
        self.imports.iter().filter(|rule| !rule.is_known())
    }

    /// The rules that a component matches, as the operator wrote them: `instruction:call_indirect`.
    pub fn matching(&self, uses: &Uses) -> Vec<String> {
        let proposals = self
            .proposals
            .iter()
            .filter(|rule| uses.proposals.contains(&rule.0));
        let instructions = self
            .instructions
            .iter()
            .filter(|rule| uses.instructions.iter().any(|name| rule.matches(name)));
        let imports = self
            .imports
            .iter()
            .filter(|rule| uses.imports.iter().any(|import| rule.matches(import)));
        proposals
            .map(|rule| format!("proposal:{rule}"))
            .chain(instructions.map(|rule| format!("instruction:{rule}")))
            .chain(imports.map(|rule| format!("import:{rule}")))
            .collect()
    }
}

/// Parses one rule: `proposal:simd`, `instruction:call_indirect`, `import:wasi:random/*`.
impl FromStr for Shield {
    type Err = InvalidRule;

    fn from_str(rule: &str) -> Result<Self, Self::Err> {
        let mut shield = Self::default();
        match rule.split_once(':') {
            Some(("proposal", name)) => shield.proposals.push(name.parse()?),
            Some(("instruction", name)) => shield.instructions.push(name.parse()?),
            Some(("import", name)) => shield.imports.push(name.parse()?),
            _ => return Err(InvalidRule::Kind(rule.to_owned())),
        }
        Ok(shield)
    }
}

/// The enabled proposals. Others are refused without a rule.
fn known_proposals() -> String {
    let on = features::proposals().filter(|(_, proposal)| FEATURES.contains(*proposal));
    on.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Proposal {
    type Err = InvalidRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_known = features::proposals().any(|(known, _)| known == name);
        is_known
            .then(|| Self(name.to_owned()))
            .ok_or_else(|| InvalidRule::Proposal(name.to_owned()))
    }
}

impl Instruction {
    /// Whether the rule matches the instruction `name`, which is written with `_`.
    fn matches(&self, name: &str) -> bool {
        let rule = self.0.replace('.', "_");
        match rule.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == rule,
        }
    }
}

impl FromStr for Instruction {
    type Err = InvalidRule;

    /// A name that matches no instruction would have no effect, so it is refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = Self(text.to_owned());
        let is_known = uses::all_instructions().any(|name| rule.matches(name));
        is_known
            .then_some(rule)
            .ok_or_else(|| InvalidRule::Instruction(text.to_owned()))
    }
}

/// The interfaces that a component may import from this host, without their versions.
const INTERFACES: [&str; 43] = [
    "mortise:plugin/cache",
    "mortise:plugin/config",
    "mortise:plugin/context",
    "mortise:plugin/crypto",
    "mortise:plugin/database",
    "mortise:plugin/email",
    "mortise:plugin/events",
    "mortise:plugin/failures",
    "mortise:plugin/http-client",
    "mortise:plugin/http-types",
    "mortise:plugin/jobs",
    "mortise:plugin/log",
    "mortise:plugin/realtime",
    "mortise:plugin/secrets",
    "mortise:plugin/steps",
    "mortise:plugin/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

impl Import {
    /// Whether the rule can match an interface of this host. A rule that begins with `*` always
    /// can.
    fn is_known(&self) -> bool {
        let end = self.0.find(['*', '@', '#']).unwrap_or(self.0.len());
        let (begin, rest) = self.0.split_at(end);
        INTERFACES.iter().any(|interface| match rest.starts_with('*') {
            // The star may be inside or after the name of the interface.
            true => interface.starts_with(begin) || begin.starts_with(interface),
            false => *interface == begin,
        })
    }

    fn matches(&self, import: &str) -> bool {
        if self.0.contains('@') {
            return is_like(&self.0, import);
        }
        // `wasi:random/random@0.2.0#get-random-u64` without its version.
        let bare = match import.split_once('@') {
            Some((interface, rest)) => match rest.split_once('#') {
                Some((_, function)) => format!("{interface}#{function}"),
                None => interface.to_owned(),
            },
            None => import.to_owned(),
        };
        is_like(&self.0, &bare)
    }
}

impl FromStr for Import {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || ":/@#*.-_[]+".contains(character);
        let is_import = !text.is_empty() && text.len() <= 256 && text.chars().all(allowed);
        is_import
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| InvalidRule::Import(text.to_owned()))
    }
}

/// Whether `text` matches `pattern`, in which `*` matches any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            // The first match is sufficient, since the following parts may begin anywhere after it.
            let Some(at) = rest.find(middle) else { return false };
            rest = &rest[at + str::len(middle)..];
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

macro_rules! as_text {
    ($($rule:ident)*) => {$(
        impl fmt::Display for $rule {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl Serialize for $rule {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $rule {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(Proposal Instruction Import);

#[cfg(test)]
mod tests {
    use super::*;

    fn uses() -> Uses {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Uses {
            proposals: set(&["simd"]),
            instructions: set(&["call_indirect", "v128_load", "i32_add"]),
            imports: set(&[
                "wasi:random/random@0.2.0",
                "wasi:random/random@0.2.0#get-random-u64",
            ]),
        }
    }

    #[test]
    fn a_rule_means_what_it_says_and_nothing_else() {
        for (rule, matches) in [
            ("proposal:simd", true),
            ("proposal:bulk-memory", false),
            ("instruction:call_indirect", true),
            ("instruction:call", false),
            ("instruction:v128.*", true),
            ("instruction:v128.load", true),
            ("instruction:i32.add", true),
            ("instruction:i32.sub", false),
            ("import:wasi:random/*", true),
            ("import:wasi:random/random", true),
            ("import:wasi:random/random@0.2.0", true),
            ("import:wasi:random/random@0.2.1", false),
            ("import:wasi:random/random@0.2.*", true),
            ("import:wasi:random/random#get-random-u64", true),
            ("import:wasi:random/random#get-random-bytes", false),
            ("import:*random-u64", true),
            ("import:wasi:clocks/*", false),
        ] {
            let shield: Shield = rule.parse().unwrap();
            let wanted: &[String] = if matches { &[rule.to_owned()] } else { &[] };
            assert_eq!(shield.matching(&uses()), wanted, "{rule}");
        }
    }

    #[test]
    fn a_rule_that_would_protect_from_nothing_is_refused() {
        for rule in [
            "proposal:sim",
            "instruction:call_indirekt",
            "instruction:v129.*",
            "import:",
            "import:a b",
            "simd",
        ] {
            assert!(rule.parse::<Shield>().is_err(), "{rule}");
        }
        let error = "proposal:sim".parse::<Shield>().unwrap_err().to_string();
        assert!(
            error.contains("simd") && error.contains("multi-memory"),
            "{error}"
        );
    }

    #[test]
    fn an_import_that_no_host_offers_is_noticed() {
        let is_known = |rule: &str| rule.parse::<Import>().unwrap().is_known();
        for rule in [
            "wasi:random/*",
            "wasi:random/random",
            "wasi:random/random@0.2.*",
            "wasi:random/random#get-random-u64",
            "mortise:plugin/database#query",
            "wasi:cli/environment*",
            "*",
            "*random-u64",
        ] {
            assert!(is_known(rule), "{rule}");
        }
        for rule in [
            "wasi:randon/*",
            "wasi:random/randon",
            "mortise:plugins/database",
            "database",
            "wasi:http/*",
        ] {
            assert!(!is_known(rule), "{rule}");
        }
        let shield = Shield {
            imports: vec!["wasi:randon/*".parse().unwrap(), "wasi:io/poll".parse().unwrap()],
            ..Shield::default()
        };
        let unknown: Vec<String> = shield.unknown_imports().map(ToString::to_string).collect();
        assert_eq!(unknown, ["wasi:randon/*"]);
        let world = include_str!("../../../wit/0.2/world.wit");
        for import in world
            .lines()
            .filter_map(|line| line.trim().strip_prefix("import "))
        {
            let interface = format!("mortise:plugin/{}", import.trim_end_matches(';'));
            assert!(INTERFACES.contains(&interface.as_str()), "{interface}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, like) in [
            ("", "", true),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(is_like(pattern, text), like, "{pattern} {text}");
        }
    }
}
