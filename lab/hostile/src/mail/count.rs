//! Compares the client's list with what the mail server and the receiver of webhooks got, and with
//! the attempts that the host shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use rig::host::Host;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Sent;
use super::scene::{HOOK, PLUGIN, Scene, TENANTS};

/// The orders after a number.
const ORDERS: &str = "SELECT rowid, key FROM orders WHERE rowid > $1 ORDER BY rowid LIMIT 5000";

/// What became of the messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Count {
    /// Acknowledged messages.
    pub messages: usize,
    /// Acknowledged or committed messages that did not arrive.
    lost: usize,
    /// Messages that arrived more than once.
    repeated: usize,
    /// Messages that arrived more often than attempts of them were unacknowledged.
    duplicates: usize,
    /// Attempts that a kill interrupted, of mail and of webhooks.
    pub interrupted: [usize; 2],
    /// Messages of transactions that were not committed.
    uncommitted: usize,
    /// Requests that the host refused with a typed error. With this load there are none.
    refused: usize,
    /// Dead letters. No message of these stages is refused.
    dead: usize,
    /// Examples of what is wrong.
    examples: Vec<String>,
}

/// What arrived, and what the host shows of it.
#[derive(Default)]
pub struct Arrived {
    /// How often each mail arrived, by its key.
    pub mails: BTreeMap<String, usize>,
    /// How often each event arrived, by its key, and under which ids.
    pub events: BTreeMap<String, (usize, BTreeSet<String>)>,
    /// The keys of the committed orders.
    pub orders: BTreeSet<String>,
    /// The attempts of each message that were not acknowledged, by its key.
    pub unacknowledged: BTreeMap<String, usize>,
}

impl Count {
    /// Counts everything. No job may wait or run.
    pub fn of(scene: &Scene, host: &Host, sent: &[Sent]) -> Result<Self> {
        let mut count = Self {
            messages: sent.iter().filter(|sent| sent.acknowledged).count(),
            ..Self::default()
        };
        let mut arrived = Arrived::at(scene);
        for tenant in TENANTS {
            arrived.orders.extend(orders(host, tenant)?);
            count.attempts(host, tenant, &mut arrived)?;
        }
        for sent in sent {
            count.compare(sent, &arrived);
        }
        Ok(count)
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicates + self.uncommitted + self.refused + self.dead == 0
    }

    /// Compares a request with what arrived.
    fn compare(&mut self, sent: &Sent, arrived: &Arrived) {
        if let Some(error) = &sent.refused {
            self.refused += 1;
            self.example(|| format!("refused: {sent:?}: {error}"));
        }
        let (copies, ids) = match sent.way.is_mail() {
            true => (arrived.mails.get(&sent.key).copied().unwrap_or(0), 1),
            false => {
                let event = arrived.events.get(&sent.key);
                event.map_or((0, 1), |(copies, ids)| (*copies, ids.len()))
            }
        };
        let is_committed = match (sent.acknowledged, sent.way.has_order()) {
            (true, _) => true,
            (false, true) => arrived.orders.contains(&sent.key),
            // Nobody knows.
            (false, false) => copies > 0,
        };
        match is_committed {
            true if copies == 0 => {
                self.lost += 1;
                self.example(|| format!("lost: {sent:?}"));
            }
            false if copies > 0 => {
                self.uncommitted += 1;
                self.example(|| format!("without its transaction: {sent:?}"));
            }
            _ => {}
        }
        let again = copies.saturating_sub(1);
        self.repeated += again;
        let unacknowledged = arrived.unacknowledged.get(&sent.key).copied().unwrap_or(0);
        if again > unacknowledged || ids > 1 {
            self.duplicates += 1;
            self.example(|| {
                format!("{copies} copies under {ids} ids, {unacknowledged} attempts unacknowledged: {sent:?}")
            });
        }
    }

    /// Reads the attempts of the host's own jobs that were repeated.
    fn attempts(&mut self, host: &Host, tenant: &str, arrived: &mut Arrived) -> Result<()> {
        for job in jobs(host, tenant)? {
            if job["state"] == "dead" {
                self.dead += 1;
                self.example(|| format!("dead: {job}"));
            }
            let is_mail = job["job"] == "mail";
            if job["plugin"] != "-" || job["attempt"].as_u64().unwrap_or(0) < 2 {
                continue;
            }
            let id = job["id"].as_str().context("a job has an id")?;
            let path = host.known(tenant).path(&format!("/jobs/{id}"));
            let detail = host.admin().get(&path)?.ok()?;
            let attempts = detail["attempts"].as_array().into_iter().flatten();
            let unacknowledged = attempts.filter(|attempt| attempt["outcome"] != "done").count();
            self.interrupted[usize::from(!is_mail)] += unacknowledged;
            let key = key_of(host, tenant, is_mail, &detail)?;
            *arrived.unacknowledged.entry(key).or_default() += unacknowledged;
        }
        Ok(())
    }

    fn example(&mut self, example: impl FnOnce() -> String) {
        const MOST: usize = 10;
        if self.examples.len() < MOST {
            self.examples.push(example());
        }
    }
}

/// The key of the message that a job sends. The payload of the job is its id.
fn key_of(host: &Host, tenant: &str, is_mail: bool, job: &Value) -> Result<String> {
    let id = job["payload"]
        .as_str()
        .context("a job of the host has a payload")?;
    let id = id.trim_matches('"');
    let tenant = host.known(tenant);
    let below = match is_mail {
        true => format!("/mail/{id}"),
        false => format!("/webhooks/deliveries/{id}"),
    };
    let message = host.admin().get(&tenant.path(&below))?.ok()?;
    let key = match is_mail {
        true => message["subject"].as_str().map(str::to_owned),
        false => match &message["body"] {
            Value::String(body) => key_in(body),
            body => body["data"]["key"].as_str().map(str::to_owned),
        },
    };
    key.with_context(|| format!("the key in {message}"))
}

/// The key in the body of a webhook.
fn key_in(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body["data"]["key"].as_str()?.to_owned())
}

/// All jobs of a tenant.
fn jobs(host: &Host, tenant: &str) -> Result<Vec<Value>> {
    let tenant = host.known(tenant);
    let mut all = Vec::new();
    let mut path = tenant.path("/jobs?limit=200");
    loop {
        let page = host.admin().get(&path)?.ok()?;
        all.extend(page["items"].as_array().cloned().context("a list of jobs")?);
        match page["next"].as_str() {
            Some(next) => path = tenant.path(&format!("/jobs?limit=200&cursor={next}")),
            None => return Ok(all),
        }
    }
}

/// The keys of the orders of a tenant.
fn orders(host: &Host, tenant: &str) -> Result<Vec<String>> {
    let tenant = host.known(tenant);
    let (mut keys, mut after) = (Vec::new(), 0);
    loop {
        let step = json!({ "query": ORDERS, "params": [after] });
        let answer = tenant
            .post(PLUGIN, "/", &json!({ "do": [step] }))?
            .is("200")?
            .body()?;
        let rows: Vec<(i64, String)> = serde_json::from_value(answer[0]["ok"].clone())
            .with_context(|| format!("the orders in {answer}"))?;
        let Some((last, _)) = rows.last() else {
            return Ok(keys);
        };
        after = *last;
        keys.extend(rows.into_iter().map(|(_, key)| key));
    }
}

impl Arrived {
    fn at(scene: &Scene) -> Self {
        let mut arrived = Self::default();
        for mail in scene.smtp.messages() {
            let key = mail.header("subject").unwrap_or_default();
            *arrived.mails.entry(key).or_default() += 1;
        }
        for request in scene.receiver.seen() {
            let Some(key) = key_in(&request.body).filter(|_| request.path.starts_with(HOOK)) else {
                continue;
            };
            let id = request.headers.get("webhook-id").cloned().unwrap_or_default();
            let (copies, ids) = arrived.events.entry(key).or_default();
            *copies += 1;
            ids.insert(id);
        }
        arrived
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [mail, webhooks] = self.interrupted;
        write!(
            f,
            "{} lost; duplicates only of unacknowledged sends: {} repeated after {mail} unacknowledged attempts \
             of mail and {webhooks} of webhooks, {} other duplicates",
            self.lost, self.repeated, self.duplicates
        )?;
        for (number, what) in [
            (self.uncommitted, "of transactions that were not committed"),
            (self.dead, "dead"),
            (self.refused, "requests refused"),
        ] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Way;
    use super::*;

    fn compared(
        way: Way,
        acknowledged: bool,
        copies: usize,
        unacknowledged: usize,
        order: bool,
    ) -> [usize; 4] {
        let mut arrived = Arrived::default();
        arrived.mails.insert("k".to_owned(), copies);
        let ids = BTreeSet::from(["id".to_owned()]);
        arrived.events.insert("k".to_owned(), (copies, ids));
        arrived.unacknowledged.insert("k".to_owned(), unacknowledged);
        if order {
            arrived.orders.insert("k".to_owned());
        }
        let mut count = Count::default();
        let sent = Sent {
            way,
            key: "k".to_owned(),
            acknowledged,
            refused: None,
        };
        count.compare(&sent, &arrived);
        [count.lost, count.repeated, count.duplicates, count.uncommitted]
    }

    #[test]
    fn what_was_acknowledged_arrives_once_or_after_each_unacknowledged_attempt() {
        for way in [Way::Mail, Way::Event] {
            assert_eq!(compared(way, true, 1, 0, false), [0; 4]);
            assert_eq!(compared(way, true, 0, 1, false), [1, 0, 0, 0]);
            assert_eq!(compared(way, true, 3, 2, false), [0, 2, 0, 0]);
            assert_eq!(compared(way, true, 3, 1, false), [0, 2, 1, 0]);
        }
    }

    #[test]
    fn what_was_not_acknowledged_arrives_if_it_was_committed() {
        assert_eq!(compared(Way::Event, false, 0, 0, false), [0; 4]);
        assert_eq!(compared(Way::EventInTransaction, false, 0, 0, true), [1, 0, 0, 0]);
        assert_eq!(compared(Way::MailByJob, false, 1, 0, false), [0, 0, 0, 1]);
    }
}
