//! Failures that the mail catcher simulates, so that developers see what their plugins and their
//! operators see if mail cannot be sent.

use serde::{Deserialize, Serialize};

use super::mail_address::ascii_domain;
use super::suppression::AddressKey;

/// The most rules of a tenant.
const MAX_RULES: usize = 50;

/// The failures that a tenant's catcher simulates. The first rule that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailFailures {
    /// The rules; empty if nothing fails.
    pub rules: Vec<MailFailureRule>,
}

/// A rule of the catcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailFailureRule {
    /// Mail to this address fails: an address, `*@example.com` for a domain, or `*` for any.
    #[schema(example = "*@example.com")]
    pub recipient: String,
    /// How it fails.
    pub failure: SimulatedFailure,
    /// How many of a hundred attempts fail; 100 if it is absent.
    #[serde(default = "always")]
    pub probability: u8,
}

/// How a simulated attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SimulatedFailure {
    /// The server cannot be reached.
    Connection,
    /// The server refuses the mail for now, as with a full mailbox (4xx).
    Temporary,
    /// The server refuses the recipient for good (5xx).
    Permanent,
}

fn always() -> u8 {
    100
}

impl MailFailures {
    /// Checks values that could never work. An error names the member.
    pub fn check(&self) -> Result<(), String> {
        if self.rules.len() > MAX_RULES {
            return Err(format!("rules: there may be {MAX_RULES} of them"));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if !is_pattern(&rule.recipient) {
                return Err(format!(
                    "rules[{index}].recipient: write an address, `*@example.com` or `*`"
                ));
            }
            if !(1..=100).contains(&rule.probability) {
                return Err(format!("rules[{index}].probability: write 1 to 100"));
            }
        }
        Ok(())
    }

    /// How an attempt to send to these recipients fails; `None` if it succeeds. `roll` returns a
    /// random number from 0 to 99, and is called once for each rule that matches.
    pub fn decide(
        &self,
        recipients: &[AddressKey],
        mut roll: impl FnMut() -> u8,
    ) -> Option<SimulatedFailure> {
        self.rules
            .iter()
            .filter(|rule| recipients.iter().any(|recipient| rule.matches(recipient)))
            .find(|rule| roll() < rule.probability)
            .map(|rule| rule.failure)
    }
}

impl MailFailureRule {
    fn matches(&self, recipient: &AddressKey) -> bool {
        match self.recipient.strip_prefix("*@") {
            Some(domain) => ascii_domain(domain).as_deref() == Some(recipient.domain()),
            None => {
                let own = self.recipient.parse::<AddressKey>();
                self.recipient == "*" || own.is_ok_and(|own| own == *recipient)
            }
        }
    }
}

fn is_pattern(text: &str) -> bool {
    match text.strip_prefix("*@") {
        Some(domain) => ascii_domain(domain).is_some(),
        None => text == "*" || text.parse::<AddressKey>().is_ok(),
    }
}

/// A random number from 0 to 99.
pub fn random_roll() -> u8 {
    // 122 bits of the UUID are random, so the remainder is as good as even.
    u8::try_from(uuid::Uuid::new_v4().as_u128() % 100).unwrap_or(99)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(recipient: &str, failure: SimulatedFailure, probability: u8) -> MailFailureRule {
        MailFailureRule {
            recipient: recipient.to_owned(),
            failure,
            probability,
        }
    }

    fn decide(rules: &[MailFailureRule], recipient: &str, roll: u8) -> Option<SimulatedFailure> {
        let failures = MailFailures {
            rules: rules.to_vec(),
        };
        assert_eq!(failures.check(), Ok(()));
        failures.decide(&[recipient.parse().unwrap()], || roll)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        use SimulatedFailure::{Connection, Permanent, Temporary};
        let rules = [
            rule("full@example.com", Temporary, 100),
            rule("*@example.com", Permanent, 50),
            rule("*", Connection, 10),
        ];
        assert_eq!(decide(&rules, "Full@example.com", 99), Some(Temporary));
        assert_eq!(decide(&rules, "ada@example.com", 49), Some(Permanent));
        assert_eq!(decide(&rules, "ada@example.com", 50), None);
        assert_eq!(decide(&rules, "ada@example.org", 9), Some(Connection));
        assert_eq!(decide(&rules, "ada@example.org", 10), None);
        assert_eq!(decide(&[], "ada@example.org", 0), None);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        use SimulatedFailure::Temporary;
        for (rule, wanted) in [
            (rule("example.com", Temporary, 100), "rules[0].recipient"),
            (rule("*@example..com", Temporary, 100), "rules[0].recipient"),
            (rule("", Temporary, 100), "rules[0].recipient"),
            (rule("*", Temporary, 0), "rules[0].probability"),
            (rule("*", Temporary, 101), "rules[0].probability"),
        ] {
            let error = MailFailures { rules: vec![rule] }.check().unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
        let many = MailFailures {
            rules: vec![rule("*", Temporary, 1); 51],
        };
        assert!(many.check().is_err());
    }

    #[test]
    fn a_rule_without_a_probability_always_applies() {
        let failures: MailFailures =
            serde_json::from_str(r#"{"rules":[{"recipient":"*","failure":"permanent"}]}"#).unwrap();
        assert_eq!(failures.rules[0].probability, 100);
        assert!((0..1_000).all(|_| random_roll() < 100));
    }
}
