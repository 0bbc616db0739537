//! The customers of the shop, its desk, and the events of the payment provider.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{unix_seconds, within};
use rig::host::Host;
use rig::http::Http;
use rig::signature;
use serde_json::{Value, json};

use super::doubles::Doubles;
use super::shop::{Product, SECRET, TENANT, path};

/// The threads that order.
const THREADS: usize = 4;

/// How long the provider tries to deliver the rest of its events.
const DELIVERY: Duration = Duration::from_secs(120);

/// An acknowledged order.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: i64,
    total: i64,
}

/// What became of an attempt to order.
enum Placed {
    Order(Order),
    Refused,
    /// The host is gone.
    Gone,
}

pub struct Client {
    random: AtomicU64,
    /// Numbers intents, events and refunds.
    next: AtomicU64,
    pub products: Vec<Product>,
    key: String,
    orders: Mutex<Vec<Order>>,
    /// The events that no host has acknowledged.
    events: Mutex<Vec<String>>,
}

impl Client {
    pub fn new(seed: u64, products: Vec<Product>, key: String) -> Self {
        Self {
            random: AtomicU64::new(seed.max(1)),
            next: AtomicU64::new(0),
            products,
            key,
            orders: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// The number of acknowledged orders.
    pub fn orders(&self) -> usize {
        self.acknowledged().len()
    }

    /// The acknowledged orders.
    pub fn acknowledged(&self) -> Vec<Order> {
        locked(&self.orders, |orders| orders.clone())
    }

    /// The next number of a pseudo-random sequence (xorshift), below `bound`.
    pub fn random(&self, bound: u64) -> u64 {
        let mut state = self.random.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.store(state, Ordering::Relaxed);
        state % bound.max(1)
    }

    /// Orders and pays until the host is gone or `meanwhile` returns.
    pub fn work<T>(
        &self,
        host: &Host,
        doubles: &Doubles,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(move || self.shopping(&host.http(), doubles, stop)))
                .collect();
            let done = meanwhile();
            stop.store(true, Ordering::SeqCst);
            for thread in threads {
                let ended = thread.join();
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            done
        })
    }

    /// Delivers the events that are left, as the provider does.
    pub fn settle(&self, host: &Host) -> Result<()> {
        let http = host.http();
        within(DELIVERY, "the acknowledgement of all events", || {
            Ok(self.deliver(&http)?.then_some(()))
        })
    }

    /// Runs customers until the host is gone.
    fn shopping(&self, http: &Http, doubles: &Doubles, stop: &AtomicBool) -> Result<()> {
        let desk = http.clone().bearer(&self.key);
        while !stop.load(Ordering::SeqCst) {
            let order = match self.order(&desk)? {
                Placed::Order(order) => order,
                Placed::Refused => continue,
                Placed::Gone => return Ok(()),
            };
            let is_there = match self.random(10) {
                // It expires, unless its payment is late: see below.
                0 => true,
                1 => self.desk(&desk, &order, "/status", &json!({ "status": "cancelled" }))?,
                // Paid twice, by two intents.
                2 => self.pay(http, doubles, &order)? && self.pay(http, doubles, &order)?,
                3 => {
                    self.pay(http, doubles, &order)? && {
                        let refund = json!({ "key": format!("r{}", self.number()), "amount_cents": 100 });
                        self.desk(&desk, &order, "/refunds", &refund)?
                    }
                }
                4 => {
                    self.pay(http, doubles, &order)? && {
                        let shipment = json!({ "carrier": "post", "tracking": "1Z" });
                        self.desk(&desk, &order, "/shipments", &shipment)?
                    }
                }
                // Cancelled while the payment is on its way.
                5 => {
                    self.desk(&desk, &order, "/status", &json!({ "status": "cancelled" }))?
                        && self.pay(http, doubles, &order)?
                }
                _ => self.pay(http, doubles, &order)?,
            };
            if !is_there {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Places an order.
    fn order(&self, desk: &Http) -> Result<Placed> {
        // Most orders are for what there is plenty of.
        let index = [0, 0, 0, 1, 1, 2][usize::try_from(self.random(6))?];
        let product = self.products.get(index).context("a product")?;
        let quantity = 1 + self.random(3);
        let body = json!({
            "customer_email": "ada@example.org",
            "lines": [{ "product_id": product.id, "quantity": quantity }],
        });
        let Ok(reply) = desk.post(&path("/orders"), &body) else {
            return Ok(Placed::Gone);
        };
        if reply.status != 201 {
            // Sold out, or the host is stopping.
            ensure!(reply.status < 500 || reply.status == 503, "{}", reply.text());
            return Ok(Placed::Refused);
        }
        let placed = reply.body()?;
        let number = |member: &str| placed[member].as_i64().context("a number of an order");
        let order = Order {
            id: number("id")?,
            total: number("total_cents")?,
        };
        locked(&self.orders, |orders| orders.push(order.clone()));
        Ok(Placed::Order(order))
    }

    /// Does something at the shop's desk. Returns whether the host is there. The shop may refuse.
    fn desk(&self, desk: &Http, order: &Order, below: &str, body: &Value) -> Result<bool> {
        let Ok(reply) = desk.post(&path(&format!("/orders/{}{below}", order.id)), body) else {
            return Ok(false);
        };
        ensure!(
            reply.status < 500 || reply.status == 503,
            "{below}: {}: {}",
            reply.seen(),
            reply.text()
        );
        Ok(true)
    }

    /// Takes the customer's money, and sends the events. Returns whether the host is there.
    fn pay(&self, http: &Http, doubles: &Doubles, order: &Order) -> Result<bool> {
        let intent = format!("pi_{}", self.number());
        doubles.pay(&intent, order.id, order.total);
        let mut events = Vec::new();
        let kinds = [
            "payment.requires_action",
            "payment.failed",
            "payment.succeeded",
            "payment.succeeded",
        ];
        for kind in kinds {
            // The earlier events come now and then, and the last one again under another id.
            if kind == "payment.succeeded" || self.random(4) == 0 {
                events.push(
                    json!({
                        "id": format!("evt_{}", self.number()), "type": kind, "order_id": order.id,
                        "amount_cents": order.total, "payment_intent": intent,
                    })
                    .to_string(),
                );
            }
        }
        if self.random(3) == 0 {
            events.reverse();
        }
        // The same event once more.
        if let Some(first) = events.first().filter(|_| self.random(3) == 0).cloned() {
            events.push(first);
        }
        locked(&self.events, |waiting| waiting.extend(events));
        self.deliver(http)
    }

    /// Sends the events that wait. Returns whether all were acknowledged.
    fn deliver(&self, http: &Http) -> Result<bool> {
        let waiting = locked(&self.events, std::mem::take);
        let mut left = Vec::new();
        for event in waiting {
            if !left.is_empty() {
                left.push(event);
                continue;
            }
            let signature = signature::stripe(SECRET, unix_seconds(), &event);
            let provider = http.clone().header("stripe-signature", &signature);
            let body = Some(("application/json", event.as_bytes()));
            match provider.send("POST", &format!("/{TENANT}/-/webhooks/orders/payments"), body) {
                Ok(reply) if reply.status == 200 => {}
                Ok(reply) => {
                    ensure!(reply.status == 503, "{event}: {}: {}", reply.seen(), reply.text());
                    left.push(event);
                }
                Err(_) => left.push(event),
            }
        }
        let is_done = left.is_empty();
        locked(&self.events, |events| events.extend(left));
        Ok(is_done)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

fn locked<T, R>(list: &Mutex<T>, with: impl FnOnce(&mut T) -> R) -> R {
    let mut list = list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    with(&mut list)
}
