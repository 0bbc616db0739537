//! Compares the client's list with the rows that the jobs wrote and with the attempts that the host
//! shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::client::{Client, Sent};

/// Effects, after a number.
const EFFECTS: &str = "SELECT n, key, job, attempt, origin FROM effects WHERE n > $1 ORDER BY n LIMIT 5000";

/// Orders, after a number.
const ORDERS: &str = "SELECT rowid, key FROM orders WHERE rowid > $1 ORDER BY rowid LIMIT 5000";

/// The key of the jobs of the schedule.
const TICK: &str = "tick";

/// What became of the jobs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Count {
    /// Acknowledged jobs.
    pub jobs: usize,
    /// Acknowledged or committed jobs without an effect.
    lost: usize,
    /// Jobs that were done twice, or that exist twice.
    twice: usize,
    /// Attempts after the first one of their job.
    repeated: u64,
    /// Effects after the first one of a job that completes in the transaction of its effect.
    repeats_of_completed: usize,
    /// Jobs of transactions that were not committed.
    uncommitted: usize,
    /// Requests that the host refused with a typed error. With this load there are none.
    refused: usize,
    /// Dead letters. No job of these stages fails by itself.
    dead: usize,
    /// Examples of what is wrong.
    examples: Vec<String>,
}

/// The rows of a tenant.
#[derive(Default)]
struct Rows {
    /// For each key, how often each of its jobs wrote a row.
    effects: BTreeMap<String, BTreeMap<String, usize>>,
    orders: BTreeSet<String>,
    /// For each time of the schedule, its jobs.
    ticks: BTreeMap<String, BTreeSet<String>>,
}

impl Count {
    /// Counts everything. No job may wait or run.
    pub fn of(client: &Client) -> Result<Self> {
        let mut count = Self {
            jobs: client.acknowledged(),
            ..Self::default()
        };
        for tenant in client.tenants() {
            let rows = Rows::read(client, tenant).with_context(|| (*tenant).to_owned())?;
            for sent in client.sent().iter().filter(|sent| sent.tenant == *tenant) {
                count.compare(sent, &rows);
            }
            for (due, jobs) in &rows.ticks {
                count.twice(jobs.len() - 1, || {
                    format!("the time {due} of a schedule: {jobs:?}")
                });
            }
            count.attempts(client, tenant)?;
        }
        Ok(count)
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.twice + self.repeats_of_completed + self.uncommitted + self.dead + self.refused == 0
    }

    /// Compares a request with the rows of its jobs.
    fn compare(&mut self, sent: &Sent, rows: &Rows) {
        if let Some(error) = &sent.refused {
            self.refused += 1;
            self.example(1, || format!("refused: {sent:?}: {error}"));
        }
        let none = BTreeMap::new();
        let jobs = rows.effects.get(&sent.key).unwrap_or(&none);
        let has_order = rows.orders.contains(&sent.key);
        let wanted = sent.way.jobs();
        let is_committed = match (sent.acknowledged, sent.way.has_order()) {
            (true, _) => true,
            (false, true) => has_order,
            // Nobody knows. But either all of its jobs were added or none.
            (false, false) => !jobs.is_empty(),
        };
        if is_committed {
            let missing = wanted.saturating_sub(jobs.len()) + usize::from(sent.way.has_order() && !has_order);
            self.lost += missing;
            self.example(missing, || {
                format!("lost: {sent:?}, order {has_order}, effects {jobs:?}")
            });
        } else {
            self.uncommitted += jobs.len();
            self.example(jobs.len(), || {
                format!("without its transaction: {sent:?}, effects {jobs:?}")
            });
        }
        self.twice(jobs.len().saturating_sub(wanted), || {
            format!("{sent:?}, effects {jobs:?}")
        });
        if sent.way.completes() {
            let repeats: usize = jobs.values().map(|rows| rows - 1).sum();
            self.repeats_of_completed += repeats;
            self.example(repeats, || format!("repeated: {sent:?}, effects {jobs:?}"));
        }
    }

    /// Counts the attempts of a tenant's jobs.
    fn attempts(&mut self, client: &Client, tenant: &str) -> Result<()> {
        for job in client.jobs(tenant)? {
            if job["state"] == "dead" {
                self.dead += 1;
                self.example(1, || format!("dead: {job}"));
            }
            let attempts = job["attempt"].as_u64().context("a job has attempts")?;
            self.repeated += attempts.saturating_sub(1);
            if attempts > 1 {
                let id = job["id"].as_str().context("a job has an id")?;
                let detail = client.job(tenant, id)?;
                let attempts = detail["attempts"].as_array().into_iter().flatten();
                let done = attempts.filter(|attempt| attempt["outcome"] == "done").count();
                self.twice(done.saturating_sub(1), || format!("acknowledged twice: {detail}"));
            }
        }
        Ok(())
    }

    fn twice(&mut self, count: usize, example: impl FnOnce() -> String) {
        self.twice += count;
        self.example(count, example);
    }

    fn example(&mut self, count: usize, example: impl FnOnce() -> String) {
        const MOST: usize = 10;
        if count > 0 && self.examples.len() < MOST {
            self.examples.push(example());
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost, {} acknowledged twice, {} repeated attempts, {} repeats of jobs completed in their transaction",
            self.lost, self.twice, self.repeated, self.repeats_of_completed
        )?;
        if self.uncommitted > 0 {
            write!(
                f,
                ", {} jobs of transactions that were not committed",
                self.uncommitted
            )?;
        }
        if self.dead > 0 {
            write!(f, ", {} dead", self.dead)?;
        }
        if self.refused > 0 {
            write!(f, ", {} requests refused", self.refused)?;
        }
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

impl Rows {
    fn read(client: &Client, tenant: &str) -> Result<Self> {
        let mut rows = Self::default();
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text column");
        for row in client.rows(tenant, EFFECTS)? {
            let [_, key, job, _, origin] = row.as_slice() else {
                anyhow::bail!("{row:?} is no effect");
            };
            let (key, job) = (text(key)?, text(job)?);
            if key == TICK {
                let origin: Value = serde_json::from_str(&text(origin)?)?;
                let due = text(&origin["due_at"])?;
                rows.ticks.entry(due).or_default().insert(job);
            } else {
                *rows.effects.entry(key).or_default().entry(job).or_default() += 1;
            }
        }
        for row in client.rows(tenant, ORDERS)? {
            rows.orders.insert(text(row.get(1).context("an order")?)?);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Way;
    use super::*;

    fn rows(effects: &[(&str, &str, usize)], orders: &[&str]) -> Rows {
        let mut rows = Rows::default();
        for (key, job, count) in effects {
            let jobs = rows.effects.entry((*key).to_owned()).or_default();
            jobs.insert((*job).to_owned(), *count);
        }
        rows.orders = orders.iter().map(|order| (*order).to_owned()).collect();
        rows
    }

    fn compared(way: Way, acknowledged: bool, rows: &Rows) -> [usize; 4] {
        let mut count = Count::default();
        let sent = Sent {
            tenant: "red",
            way,
            key: "k".to_owned(),
            acknowledged,
            refused: None,
        };
        count.compare(&sent, rows);
        [
            count.lost,
            count.twice,
            count.repeats_of_completed,
            count.uncommitted,
        ]
    }

    #[test]
    fn what_was_acknowledged_has_its_effect_once() {
        assert_eq!(compared(Way::Once, true, &rows(&[("k", "a", 1)], &[])), [0; 4]);
        assert_eq!(compared(Way::Once, true, &rows(&[], &[])), [1, 0, 0, 0]);
        assert_eq!(
            compared(Way::Once, true, &rows(&[("k", "a", 3)], &[])),
            [0, 0, 2, 0]
        );
        assert_eq!(compared(Way::Plain, true, &rows(&[("k", "a", 3)], &[])), [0; 4]);
        let both = rows(&[("k", "a", 1), ("k", "b", 1)], &[]);
        assert_eq!(compared(Way::Once, true, &both), [0, 1, 0, 0]);
        assert_eq!(compared(Way::Event, true, &both), [0; 4]);
    }

    #[test]
    fn what_was_not_acknowledged_happened_as_a_whole_or_not_at_all() {
        let way = Way::InTransaction;
        assert_eq!(compared(way, false, &rows(&[], &[])), [0; 4]);
        assert_eq!(compared(way, false, &rows(&[("k", "a", 1)], &["k"])), [0; 4]);
        assert_eq!(compared(way, false, &rows(&[], &["k"])), [1, 0, 0, 0]);
        assert_eq!(compared(way, false, &rows(&[("k", "a", 1)], &[])), [0, 0, 0, 1]);
        assert_eq!(
            compared(Way::Event, false, &rows(&[("k", "a", 1)], &[])),
            [1, 0, 0, 0]
        );
    }
}
