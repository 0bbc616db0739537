//! Runs the jobs that send mail.

use std::sync::Arc;

use async_trait::async_trait;

use super::route::{MailServers, NoRoute, Route};
use super::smtp::Smtp;
use super::{Answer, Failure, Verdict, caught};
use crate::domain::audit::Change;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{MailId, TenantId};
use crate::domain::job::{Ending, Job};
use crate::domain::mail::{Mail, MailState, Outcome, RecipientState};
use crate::domain::mail_address::Address;
use crate::domain::mail_failures::random_roll;
use crate::domain::suppression::{AddressKey, Suppression, SuppressionReason};
use crate::jobs::{HostJobHandler, retry};
use crate::metrics::MailCounters;
use crate::storage::{DbError, Repository};

/// The most characters of an error that is stored for a mail.
const SHOWN: usize = 1_000;

/// What is stored of a receiver who is on the list.
const ON_LIST: &str = "the address is on the suppression list";

/// Sends mail.
pub struct MailHandler {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Where mail goes.
    pub servers: Arc<MailServers>,
    /// Speaks with servers.
    pub smtp: Smtp,
    /// Counts mail.
    pub counters: Arc<MailCounters>,
    /// The clock.
    pub clock: SharedClock,
}

/// How an attempt ended for all receivers together.
struct Settled {
    state: MailState,
    error: Option<String>,
    ending: Ending,
}

#[async_trait]
impl HostJobHandler for MailHandler {
    async fn run(&self, job: &Job) -> Ending {
        match self.attempt(job).await {
            Ok(ending) => ending,
            Err(error) => {
                let why = format!("the mail could not be read or recorded: {error}");
                retry(job, why, self.clock.now())
            }
        }
    }

    async fn gave_up(&self, job: &Job) -> Result<(), DbError> {
        let Ok(id) = job.new.payload.parse::<MailId>() else {
            return Ok(());
        };
        let tenant = job.new.tenant;
        let current = self.db.mail(tenant, id).await?;
        // Somebody may have sent the mail again by another job.
        if current.is_none_or(|mail| mail.job != job.new.id || mail.state != MailState::Queued) {
            return Ok(());
        }
        self.counters.failed();
        let why = job.error.as_deref().unwrap_or("the job was cancelled");
        self.db.fail_mail(tenant, id, &cut(why), self.clock.now()).await
    }
}

impl MailHandler {
    async fn attempt(&self, job: &Job) -> Result<Ending, DbError> {
        let Ok(id) = job.new.payload.parse::<MailId>() else {
            return Ok(Ending::Dead {
                error: "the job names no mail".to_owned(),
            });
        };
        let tenant = job.new.tenant;
        // A mail that somebody deleted, or sends by a later job, is not sent by this one.
        let mail = self
            .db
            .mail(tenant, id)
            .await?
            .filter(|mail| mail.job == job.new.id);
        let (Some(mail), Some(content)) = (mail, self.db.mail_content(tenant, id).await?) else {
            return Ok(Ending::Done);
        };
        let open = open(&mail);
        let (sending, mut outcomes) = self.without_suppressed(tenant, &open).await?;
        let failure = match sending.is_empty() {
            true => None,
            false => match self.hand_over(&mail, &sending, &content.source).await? {
                Ok(verdicts) => {
                    self.note_unknown(tenant, id, &verdicts).await;
                    outcomes.extend(verdicts.into_iter().map(outcome));
                    None
                }
                Err(failure) => Some(failure),
            },
        };
        let now = self.clock.now();
        let settled = settle(job, &mail, &open, &outcomes, failure, now);
        self.count(&settled);
        self.db
            .note_sent(
                tenant,
                id,
                &outcomes,
                settled.state,
                settled.error.as_deref(),
                now,
            )
            .await?;
        Ok(settled.ending)
    }

    /// The receivers to whom the mail goes, and what becomes of those who want no mail.
    async fn without_suppressed(
        &self,
        tenant: TenantId,
        open: &[Address],
    ) -> Result<(Vec<Address>, Vec<Outcome>), DbError> {
        let keys: Vec<AddressKey> = open.iter().filter_map(key).collect();
        let listed = self.db.suppressed(tenant, &keys).await?;
        let is_listed = |address: &&Address| key(address).is_some_and(|key| listed.contains(&key));
        let (on_list, sending): (Vec<&Address>, Vec<&Address>) = open.iter().partition(is_listed);
        let suppressed = on_list.into_iter().map(|address| {
            self.counters.suppressed();
            Outcome {
                address: address.clone(),
                state: RecipientState::Suppressed,
                reply: Some(ON_LIST.to_owned()),
            }
        });
        Ok((sending.into_iter().cloned().collect(), suppressed.collect()))
    }

    /// Hands the mail over to its server or to the catcher.
    async fn hand_over(
        &self,
        mail: &Mail,
        receivers: &[Address],
        source: &[u8],
    ) -> Result<Result<Vec<Verdict>, Failure>, DbError> {
        match self.servers.route(mail.tenant, &mail.from).await {
            Ok(Route::Server(server)) => {
                let sent = self
                    .smtp
                    .send(mail.tenant, &server, &mail.from, receivers, source);
                Ok(sent.await)
            }
            Ok(Route::Catcher) => {
                let failures = self.db.mail_failures(mail.tenant).await?;
                Ok(caught::take(&failures, receivers, random_roll))
            }
            Err(NoRoute::Db(error)) => Err(error),
            Err(error) => Ok(Err(Failure::lasting(error.to_string()))),
        }
    }

    /// Puts addresses that do not exist on the suppression list. A failure only means that the next
    /// mail to them is refused as well.
    async fn note_unknown(&self, tenant: TenantId, mail: MailId, verdicts: &[Verdict]) {
        let now = self.clock.now();
        for verdict in verdicts {
            let Answer::Refused {
                reply,
                is_unknown: true,
            } = &verdict.answer
            else {
                continue;
            };
            let Some(address) = key(&verdict.address) else {
                continue;
            };
            let change = Change::new(Change::HOST, "mail.suppress", address.masked(), now);
            let suppression = Suppression {
                address,
                reason: SuppressionReason::Rejected,
                detail: Some(reply.clone()),
                mail: Some(mail),
                created_at: now,
            };
            if let Err(error) = self.db.suppress(tenant, &suppression, &change).await {
                tracing::warn!(%tenant, %mail, %error, "an address that does not exist could not be suppressed");
            }
        }
    }

    fn count(&self, settled: &Settled) {
        match (&settled.ending, settled.state) {
            (Ending::Retry { .. }, _) => self.counters.retried(),
            (_, MailState::Sent) => self.counters.sent(),
            (_, MailState::Caught) => self.counters.caught(),
            (_, MailState::Failed) => self.counters.failed(),
            (_, MailState::Queued) => {}
        }
    }
}

/// The receivers to whom the mail is still to be sent. If the mail was given up and its job runs
/// again, these are those who did not get it.
fn open(mail: &Mail) -> Vec<Address> {
    let is_again = mail.state == MailState::Failed;
    let is_open = |state| match state {
        RecipientState::Pending => true,
        RecipientState::Failed | RecipientState::Refused => is_again,
        RecipientState::Accepted | RecipientState::Caught | RecipientState::Suppressed => false,
    };
    let open = mail
        .recipients
        .iter()
        .filter(|recipient| is_open(recipient.state));
    open.map(|recipient| recipient.address.clone()).collect()
}

fn outcome(verdict: Verdict) -> Outcome {
    let (state, reply) = match verdict.answer {
        Answer::Taken(reply) => (RecipientState::Accepted, Some(reply)),
        Answer::Caught => (RecipientState::Caught, None),
        Answer::Deferred(reply) => (RecipientState::Pending, Some(reply)),
        Answer::Refused { reply, .. } => (RecipientState::Refused, Some(reply)),
    };
    Outcome {
        address: verdict.address,
        state,
        reply,
    }
}

/// What becomes of a mail after an attempt.
fn settle(
    job: &Job,
    mail: &Mail,
    open: &[Address],
    outcomes: &[Outcome],
    failure: Option<Failure>,
    now: Timestamp,
) -> Settled {
    let in_state = |state: RecipientState| outcomes.iter().filter(move |outcome| outcome.state == state);
    let waits = match failure {
        Some(failure) => Some(failure.why),
        None => said(
            "does not take the mail now",
            &in_state(RecipientState::Pending).collect::<Vec<_>>(),
        ),
    };
    if let Some(why) = waits {
        let why = cut(&why);
        return Settled {
            state: MailState::Queued,
            error: Some(why.clone()),
            ending: retry(job, why, now),
        };
    }
    // Receivers of this attempt and of earlier ones.
    let earlier = mail
        .recipients
        .iter()
        .filter(|recipient| !open.contains(&recipient.address))
        .map(|recipient| recipient.state);
    let states: Vec<RecipientState> = earlier
        .chain(outcomes.iter().map(|outcome| outcome.state))
        .collect();
    let refused = said(
        "refuses the mail",
        &in_state(RecipientState::Refused).collect::<Vec<_>>(),
    )
    .map(|why| cut(&why));
    let state = match states.iter().find(|state| state.is_taken()) {
        Some(RecipientState::Caught) => MailState::Caught,
        Some(_) => MailState::Sent,
        None => MailState::Failed,
    };
    let ending = match (&refused, state) {
        (Some(error), MailState::Failed) => Ending::Dead { error: error.clone() },
        // Nobody is left who wants the mail: there is nothing to try again.
        _ => Ending::Done,
    };
    let error = match (refused, state) {
        (None, MailState::Failed) => {
            Some("no receiver wants mail: all are on the suppression list".to_owned())
        }
        (refused, _) => refused,
    };
    Settled { state, error, ending }
}

/// What the server said about receivers; `None` without any. It names no address, because the texts
/// of jobs are read by more people than those of mail.
fn said(what: &str, outcomes: &[&Outcome]) -> Option<String> {
    let mut replies: Vec<&str> = Vec::new();
    let mut count = 0;
    for outcome in outcomes {
        count += 1;
        let reply = outcome.reply.as_deref().unwrap_or_default();
        if !replies.contains(&reply) {
            replies.push(reply);
        }
    }
    let receivers = match count {
        0 => return None,
        1 => "1 receiver".to_owned(),
        count => format!("{count} receivers"),
    };
    Some(format!(
        "the mail server {what} for {receivers}: {}",
        replies.join("; ")
    ))
}

fn key(address: &Address) -> Option<AddressKey> {
    address.as_str().parse().ok()
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host_job::HostJob;
    use crate::domain::id::PluginName;
    use crate::domain::job::JobState;
    use crate::domain::mail::{Recipient, RecipientKind};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    /// A mail whose receivers have these states.
    fn mail(state: MailState, recipients: &[(&str, RecipientState)]) -> Mail {
        let recipients = recipients.iter().map(|(address, state)| Recipient {
            address: address.parse().unwrap(),
            kind: RecipientKind::To,
            state: *state,
            reply: None,
            at: None,
        });
        Mail {
            id: MailId::generate(),
            tenant: TenantId::generate(),
            plugin: PluginName::host(),
            from: "shop@example.com".parse().unwrap(),
            subject: String::new(),
            tags: Vec::new(),
            template: None,
            state,
            job: crate::domain::id::JobId::generate(),
            size: 0,
            attachments: Vec::new(),
            idempotency_key: None,
            created_at: NOW,
            ended_at: None,
            error: None,
            recipients: recipients.collect(),
        }
    }

    fn job() -> Job {
        Job {
            new: HostJob::Mail.job(TenantId::generate(), String::new(), NOW),
            state: JobState::Running,
            attempt: 1,
            lease_until: None,
            cancel_requested: false,
            ended_at: None,
            error: None,
        }
    }

    fn settled(mail: &Mail, answers: &[(&str, Answer)], failure: Option<Failure>) -> Settled {
        let outcomes = answers.iter().map(|(address, answer)| {
            outcome(Verdict {
                address: address.parse().unwrap(),
                answer: answer.clone(),
            })
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        settle(&job(), mail, &open(mail), &outcomes, failure, NOW)
    }

    fn refused() -> Answer {
        Answer::Refused {
            reply: "550 5.1.1 no".to_owned(),
            is_unknown: true,
        }
    }

    #[test]
    fn a_mail_is_sent_if_one_receiver_has_it_and_nobody_waits() {
        let two = mail(
            MailState::Queued,
            &[
                ("a@x.example", RecipientState::Pending),
                ("b@x.example", RecipientState::Pending),
            ],
        );
        let taken = || Answer::Taken("250 ok".to_owned());
        let sent = settled(
            &two,
            &[("a@x.example", taken()), ("b@x.example", refused())],
            None,
        );
        assert_eq!((sent.state, sent.ending), (MailState::Sent, Ending::Done));
        assert!(sent.error.unwrap().contains("1 receiver: 550 5.1.1 no"));

        let waits = Answer::Deferred("452 4.2.2 full".to_owned());
        let waits = settled(&two, &[("a@x.example", taken()), ("b@x.example", waits)], None);
        assert_eq!(waits.state, MailState::Queued);
        assert!(matches!(waits.ending, Ending::Retry { error, .. } if error.contains("452 4.2.2 full")));

        let nobody = settled(
            &two,
            &[("a@x.example", refused()), ("b@x.example", refused())],
            None,
        );
        assert_eq!(nobody.state, MailState::Failed);
        assert!(matches!(nobody.ending, Ending::Dead { error } if error.contains("2 receivers")));

        let caught = settled(
            &two,
            &[("a@x.example", Answer::Caught), ("b@x.example", Answer::Caught)],
            None,
        );
        assert_eq!((caught.state, caught.ending), (MailState::Caught, Ending::Done));
    }

    #[test]
    fn without_a_server_the_mail_waits() {
        let one = mail(MailState::Queued, &[("a@x.example", RecipientState::Pending)]);
        let waits = settled(&one, &[], Some(Failure::connection("no connection")));
        assert_eq!(waits.state, MailState::Queued);
        assert!(matches!(waits.ending, Ending::Retry { at, .. } if at > NOW));
    }

    #[test]
    fn an_attempt_that_was_lost_after_its_result_was_stored_changes_nothing() {
        let sent = mail(
            MailState::Sent,
            &[
                ("a@x.example", RecipientState::Accepted),
                ("b@x.example", RecipientState::Refused),
            ],
        );
        assert!(open(&sent).is_empty());
        let again = settled(&sent, &[], None);
        assert_eq!((again.state, again.ending), (MailState::Sent, Ending::Done));
    }

    #[test]
    fn a_dead_letter_that_runs_again_goes_to_those_who_have_nothing() {
        let failed = mail(
            MailState::Failed,
            &[
                ("a@x.example", RecipientState::Refused),
                ("b@x.example", RecipientState::Failed),
                ("c@x.example", RecipientState::Suppressed),
            ],
        );
        let texts: Vec<String> = open(&failed).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a@x.example", "b@x.example"]);
    }

    #[test]
    fn a_mail_that_nobody_wants_is_no_dead_letter() {
        let one = mail(MailState::Queued, &[("a@x.example", RecipientState::Pending)]);
        let suppressed = Outcome {
            address: "a@x.example".parse().unwrap(),
            state: RecipientState::Suppressed,
            reply: None,
        };
        let settled = settle(&job(), &one, &open(&one), &[suppressed], None, NOW);
        assert_eq!((settled.state, settled.ending), (MailState::Failed, Ending::Done));
        assert!(settled.error.unwrap().contains("suppression list"));
    }
}
