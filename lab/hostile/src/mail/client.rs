//! The client: it sends mail and publishes events by requests, and keeps its own list of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use rig::host::Host;
use rig::http::Http;
use serde_json::{Value, json};

use super::scene::{PLUGIN, TENANTS, TOPIC};

/// The threads that send requests for each tenant.
const THREADS: usize = 2;

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A mail, by a request.
    Mail,
    /// A mail, by a job that is added in a transaction of a request.
    MailByJob,
    /// A webhook, by an event.
    Event,
    /// A webhook, by an event in a transaction of a request.
    EventInTransaction,
}

/// A request to send a message, with its outcome.
#[derive(Clone, Debug)]
pub struct Sent {
    pub way: Way,
    pub key: String,
    /// Whether the host acknowledged it.
    pub acknowledged: bool,
    /// The typed error with which the host refused it.
    pub refused: Option<String>,
}

impl Way {
    const ALL: [Way; 4] = [Way::Mail, Way::MailByJob, Way::Event, Way::EventInTransaction];

    /// Whether the message is a mail.
    pub fn is_mail(self) -> bool {
        matches!(self, Way::Mail | Way::MailByJob)
    }

    /// Whether the request also writes an order in the same transaction.
    pub fn has_order(self) -> bool {
        matches!(self, Way::MailByJob | Way::EventInTransaction)
    }

    /// The request that sends it.
    fn request(self, key: &str) -> Value {
        let to = format!("{key}@example.org");
        let mail = json!({ "mail": { "to": to, "subject": key, "text": "Thank you", "key": key } });
        let order = json!({ "execute": "INSERT INTO orders (key) VALUES ($1)", "params": [key] });
        let publish = json!({ "publish": { "topic": TOPIC, "payload": { "key": key } } });
        let enqueue = json!({ "enqueue": { "name": "notify", "payload": { "do": [mail] } } });
        let step = match self {
            Way::Mail => mail,
            Way::MailByJob => json!({ "transaction": [order, enqueue] }),
            Way::Event => publish,
            Way::EventInTransaction => json!({ "transaction": [order, publish] }),
        };
        json!({ "do": [step] })
    }
}

/// The numbers of the messages, over all rounds.
#[derive(Default)]
pub struct Client {
    next: AtomicUsize,
    sent: Vec<Sent>,
}

impl Client {
    /// What was sent so far.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// The acknowledged messages.
    pub fn acknowledged(&self) -> usize {
        self.sent.iter().filter(|sent| sent.acknowledged).count()
    }

    /// Sends up to `most` requests until the host is gone or `meanwhile` returns.
    pub fn work<T>(&mut self, host: &Host, most: usize, meanwhile: impl FnOnce() -> Result<T>) -> Result<T> {
        let (left, stop) = (AtomicUsize::new(most), AtomicBool::new(false));
        let next = &self.next;
        let (done, lists) = std::thread::scope(|scope| {
            let threads: Vec<_> = TENANTS
                .iter()
                .flat_map(|tenant| [*tenant; THREADS])
                .map(|tenant| {
                    let (http, left, stop) = (host.http(), &left, &stop);
                    scope.spawn(move || send(&http, tenant, next, left, stop))
                })
                .collect();
            let done = meanwhile();
            stop.store(true, Ordering::SeqCst);
            let lists: Vec<_> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            (done, lists)
        });
        for list in lists {
            self.sent.extend(list?);
        }
        done
    }
}

/// Sends messages of one tenant, one after the other.
fn send(
    http: &Http,
    tenant: &'static str,
    next: &AtomicUsize,
    left: &AtomicUsize,
    stop: &AtomicBool,
) -> Result<Vec<Sent>> {
    let mut sent = Vec::new();
    let one_less = |left: usize| left.checked_sub(1);
    while !stop.load(Ordering::SeqCst)
        && left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
    {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let way = Way::ALL[number % Way::ALL.len()];
        let key = format!("{tenant}-{number}");
        let reply = http.post(&format!("/{tenant}/{PLUGIN}/"), &way.request(&key));
        let mut one = Sent {
            way,
            key,
            acknowledged: false,
            refused: None,
        };
        match reply {
            Ok(reply) => {
                let answer = reply.is("200")?.body().context("the answer of the plugin")?;
                one.acknowledged = answer[0].get("ok").is_some();
                one.refused = answer[0]["error"].as_str().map(str::to_owned);
                sent.push(one);
            }
            // The host is gone: the message may exist.
            Err(_) => {
                sent.push(one);
                break;
            }
        }
    }
    Ok(sent)
}
