//! The catcher: takes mail in place of a server, with the failures that the tenant wants to see.

use super::{Answer, Failure, Verdict};
use crate::domain::mail_address::Address;
use crate::domain::mail_failures::{MailFailures, SimulatedFailure};
use crate::domain::suppression::AddressKey;

/// What the catcher says. `roll` returns random numbers from 0 to 99.
pub(super) fn take(
    failures: &MailFailures,
    receivers: &[Address],
    mut roll: impl FnMut() -> u8,
) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts = Vec::with_capacity(receivers.len());
    for address in receivers {
        let key: Option<AddressKey> = address.as_str().parse().ok();
        let simulated = key.and_then(|key| failures.decide(&[key], &mut roll));
        let answer = match simulated {
            None => Answer::Caught,
            Some(SimulatedFailure::Connection) => {
                return Err(Failure::lasting(
                    "a simulated failure: no connection to the mail server",
                ));
            }
            Some(SimulatedFailure::Temporary) => {
                Answer::Deferred("452 4.2.2 a simulated failure: the mailbox is full".to_owned())
            }
            Some(SimulatedFailure::Permanent) => Answer::Refused {
                reply: "550 5.1.1 a simulated failure: there is no such mailbox".to_owned(),
                // The address may be a real one, which gets mail once there is a server.
                is_unknown: false,
            },
        };
        verdicts.push(Verdict {
            address: address.clone(),
            answer,
        });
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mail_failures::MailFailureRule;

    #[test]
    fn a_receiver_fails_as_the_rules_say_and_the_others_do_not() {
        let rule = |recipient: &str, failure| MailFailureRule {
            recipient: recipient.to_owned(),
            failure,
            probability: 50,
        };
        let failures = MailFailures {
            rules: vec![
                rule("full@a.example", SimulatedFailure::Temporary),
                rule("*@b.example", SimulatedFailure::Permanent),
                rule("down@c.example", SimulatedFailure::Connection),
            ],
        };
        let receivers = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let some = receivers(&["ada@a.example", "full@a.example", "ada@b.example"]);
        let verdicts = take(&failures, &some, || 49).unwrap();
        assert_eq!(verdicts[0].answer, Answer::Caught);
        assert!(matches!(&verdicts[1].answer, Answer::Deferred(why) if why.starts_with("452")));
        assert!(matches!(
            &verdicts[2].answer,
            Answer::Refused {
                is_unknown: false,
                ..
            }
        ));
        let lucky = take(&failures, &some, || 50).unwrap();
        assert!(lucky.iter().all(|verdict| verdict.answer == Answer::Caught));
        assert!(take(&failures, &receivers(&["down@c.example"]), || 0).is_err());
    }
}
