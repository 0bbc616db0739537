//! The kinds of input: how each is generated and sent to a host.

mod background;
mod component;
mod http1;
mod http2;
mod manifest;
mod outbound;
mod schema;
mod sql;
mod value;

use rig::tenant::Tenant;

use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Input, Part};
use crate::target::Target;

/// A kind of input.
pub struct Kind {
    /// Its name, in the plural.
    pub name: &'static str,
    /// Generates an input.
    pub generate: fn(&mut Chance) -> Vec<Part>,
    /// Sends an input to a host. Returns true if the host accepted and ran it, and false if the
    /// host rejected it.
    pub run: fn(&Target, &[Part]) -> Result<bool, Failure>,
}

pub const KINDS: [Kind; 7] = [
    Kind {
        name: "manifests",
        generate: manifest::generate,
        run: manifest::run,
    },
    Kind {
        name: "schemas",
        generate: schema::generate,
        run: schema::run,
    },
    Kind {
        name: "sql",
        generate: sql::generate,
        run: sql::run,
    },
    Kind {
        name: "components",
        generate: component::generate,
        run: component::run,
    },
    Kind {
        name: "http1",
        generate: http1::generate,
        run: http1::run,
    },
    Kind {
        name: "http2",
        generate: http2::generate,
        run: http2::run,
    },
    Kind {
        name: "outbound",
        generate: outbound::generate,
        run: outbound::run,
    },
];

impl Kind {
    /// The kind with this name.
    pub fn named(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The input with this number.
    pub fn input(&self, seed: u64, number: u64) -> Input {
        Input {
            kind: self.name.to_owned(),
            parts: (self.generate)(&mut Chance::of(seed, self.name, number)),
        }
    }
}

/// Runs one input with a new tenant, which is deleted afterwards in any case.
fn with_tenant(target: &Target, run: impl FnOnce(&Tenant) -> Result<bool, Failure>) -> Result<bool, Failure> {
    let tenant = new_tenant(target)?;
    let ran = run(&tenant);
    let deleted = crate::target::delete(tenant);
    ran.and_then(|ran| deleted.map(|()| ran))
}

/// Creates a tenant, which the caller may delete.
fn new_tenant(target: &Target) -> Result<Tenant, Failure> {
    let tenant = target.tenant();
    tenant.map_err(|error| Failure::Unanswered(format!("a new tenant: {error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_for_the_same_seed() {
        for kind in &KINDS {
            for number in 0..20 {
                assert_eq!(kind.input(17, number), kind.input(17, number), "{}", kind.name);
            }
            let all: Vec<Input> = (0..20).map(|number| kind.input(17, number)).collect();
            let distinct = all.iter().filter(|input| **input != all[0]).count();
            assert!(distinct > 10, "{}: {distinct}", kind.name);
            assert_ne!(kind.input(17, 1), kind.input(18, 1), "{}", kind.name);
        }
    }
}
