//! Random histories of a shop: customers order, pay, come back and go away, the payment provider
//! repeats, reorders and forgets events, and the ERP fails. What has to hold holds after each step.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mortise_sdk::http::{self, Message};
use mortise_sdk::testing::Host;
use mortise_sdk::{db, time};
use serde_json::{Value, json};

use crate::testing::{builder, check_invariants, order, place, post, product, send, show, sign};
use crate::{APP, JOBS};

const PAYMENTS: &str = "https://payments.example.com/v1";
const ERP: &str = "https://erp.example.com/orders";

/// A pseudo-random sequence (xorshift).
struct Random(u64);

/// The payment provider and the ERP, which fail at random.
struct Outside {
    random: Random,
    /// One of so many requests fails; 0 means none.
    failures: u64,
    /// By payment intent.
    payments: BTreeMap<String, Value>,
    /// By idempotency key.
    refunds: BTreeMap<String, String>,
    /// The keys that the ERP has seen.
    erp: BTreeMap<String, u32>,
}

struct Shop {
    host: Host,
    outside: Rc<RefCell<Outside>>,
    random: Random,
    products: Vec<(i64, i64)>,
    orders: Vec<i64>,
    /// Events that were sent or that wait to be sent.
    events: Vec<Value>,
    payments: u64,
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.below(count.max(1))).unwrap_or(0);
        items.get(index).cloned()
    }
}

impl Outside {
    fn answer(&mut self, request: &Message) -> Result<http::Response, http::Error> {
        // A failure comes before the work or after it, and the caller cannot tell.
        let fails = self.failures > 0 && self.random.below(self.failures) == 0;
        if fails && self.random.below(2) == 0 {
            return Err(http::Error::Timeout);
        }
        let answer = self.serve(request);
        match fails {
            true => Ok(http::Response::new(503)),
            false => Ok(answer),
        }
    }

    fn serve(&mut self, request: &Message) -> http::Response {
        let key = request.headers.iter().find(|(name, _)| name == "idempotency-key");
        let key = key.map(|(_, value)| value.clone()).unwrap_or_default();
        let json = |value: &Value| http::Response::new(200).with_body(value.to_string());
        if request.url == ERP {
            *self.erp.entry(key).or_default() += 1;
            return http::Response::new(201);
        }
        let path = request.url.strip_prefix(PAYMENTS).unwrap_or_default();
        if path == "/refunds" {
            let body = request.body.as_ref().expect("a refund has a body");
            let refund: Value = serde_json::from_slice(body.as_bytes()).expect("a refund is JSON");
            return self.refund(key, &refund);
        }
        if let Some(intent) = path.strip_prefix("/payments/") {
            return self
                .payments
                .get(intent)
                .map_or_else(|| http::Response::new(404), json);
        }
        let all: Vec<&Value> = self.payments.values().collect();
        json(&json!({ "data": all, "next": null }))
    }

    fn refund(&mut self, key: String, refund: &Value) -> http::Response {
        let intent = refund["payment_intent"].as_str().unwrap_or_default();
        let Some(payment) = self.payments.get_mut(intent) else {
            return http::Response::new(404);
        };
        let next = format!("re_{}", self.refunds.len());
        let id = match self.refunds.get(&key) {
            Some(id) => id.clone(),
            None => {
                let number = |value: &Value| value.as_i64().unwrap_or_default();
                let refunded = number(&payment["refunded_cents"]) + number(&refund["amount_cents"]);
                assert!(refunded <= number(&payment["amount_cents"]), "{payment} {refund}");
                payment["refunded_cents"] = json!(refunded);
                self.refunds.insert(key, next.clone());
                next
            }
        };
        http::Response::new(200).with_body(json!({ "id": id }).to_string())
    }
}

impl Shop {
    /// A shop with three products. With `asks`, it asks the provider instead of believing events.
    fn open(seed: u64, asks: bool) -> Self {
        let outside = Rc::new(RefCell::new(Outside {
            random: Random(seed.wrapping_mul(0x9e37_79b9).max(1)),
            failures: 4,
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            erp: BTreeMap::new(),
        }));
        let asked = Rc::clone(&outside);
        let mut builder = builder()
            .config("erp_url", ERP)
            .http(move |request| asked.borrow_mut().answer(request));
        if asks {
            builder = builder.config("payments_url", PAYMENTS);
        }
        let host = builder.start();
        let products = [("A", 3), ("B", 5), ("C", 8)].map(|(sku, stock)| (product(sku, 100, stock), stock));
        Self {
            host,
            outside,
            random: Random(seed.max(1)),
            products: products.into(),
            orders: Vec::new(),
            events: Vec::new(),
            payments: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..3 => self.order(),
            3..5 => self.pay(),
            5 => self.repeat_event(),
            6 => self.return_from_payment(),
            7 => self.change_status(),
            8 => self.ship_or_refund(),
            9 => self.decide(),
            _ => self.wait(),
        }
        check_invariants(&self.products);
    }

    fn order(&mut self) {
        let mut lines = Vec::new();
        for (product, _) in &self.products {
            let quantity = self.random.below(3);
            if quantity > 0 {
                lines.push(json!({ "product_id": product, "quantity": quantity }));
            }
        }
        if lines.is_empty() {
            return;
        }
        let response = place(&self.host, json!(lines));
        match response.status() {
            201 => self.orders.extend(response.json::<Value>()["id"].as_i64()),
            status => assert_eq!(status, 409, "{}", response.text()),
        }
    }

    /// Pays an order, sometimes too little and sometimes a second time. The event may be lost.
    fn pay(&mut self) {
        let Some(order) = self.random.pick(&self.orders) else {
            return;
        };
        let due = show(order)["total_cents"].as_i64().expect("a total");
        let cents = if self.random.below(6) == 0 { due + 1 } else { due };
        self.payments += 1;
        let intent = format!("pi_{}", self.payments);
        self.outside.borrow_mut().payments.insert(
            intent.clone(),
            json!({
                "id": intent, "status": "succeeded", "order_id": order, "amount_cents": cents,
                "refunded_cents": 0,
            }),
        );
        let event = json!({
            "id": format!("evt_{}", self.payments), "type": "payment.succeeded", "order_id": order,
            "amount_cents": cents, "payment_intent": intent,
        });
        self.events.push(event.clone());
        if self.random.below(4) > 0 {
            self.tell(&event);
        }
    }

    fn tell(&self, event: &Value) {
        let body = event.to_string();
        let response = send(&self.host, &sign(time::now() / 1_000, &body), &body);
        assert_eq!(response.status(), 200, "{}", response.text());
    }

    /// Sends an earlier event again, or for the first time, or another one of the same payment.
    fn repeat_event(&mut self) {
        if let Some(mut event) = self.random.pick(&self.events) {
            if self.random.below(2) == 0 {
                event["id"] = json!(format!("evt_again_{}", self.random.below(1_000_000)));
            }
            self.tell(&event);
        }
    }

    fn return_from_payment(&mut self) {
        let Some(event) = self.random.pick(&self.events) else {
            return;
        };
        let path = format!("/orders/{}/payment-return", event["order_id"]);
        let body = json!({ "payment_intent": event["payment_intent"] });
        let response = self.host.request("POST", &path).json(&body).send(&APP);
        assert!(matches!(response.status(), 200 | 503), "{}", response.text());
    }

    fn change_status(&mut self) {
        let status = self.random.pick(&["paid", "shipped", "delivered", "cancelled"]);
        if let (Some(order), Some(status)) = (self.random.pick(&self.orders), status) {
            let path = format!("/orders/{order}/status");
            let response = post(&self.host, &path, &json!({ "status": status }));
            assert!(matches!(response.status(), 200 | 409), "{}", response.text());
        }
    }

    fn ship_or_refund(&mut self) {
        let (Some(order), Some((product, _))) =
            (self.random.pick(&self.orders), self.random.pick(&self.products))
        else {
            return;
        };
        let mut body = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
        let path = if self.random.below(2) == 0 {
            format!("/orders/{order}/shipments")
        } else {
            body["key"] = json!(self.random.below(1_000).to_string());
            format!("/orders/{order}/refunds")
        };
        let response = post(&self.host, &path, &body);
        assert!(
            matches!(response.status(), 201 | 202 | 409),
            "{}",
            response.text()
        );
    }

    fn decide(&mut self) {
        let open: Vec<i64> =
            db::query_as("SELECT id FROM reviews WHERE resolved_at IS NULL", ()).expect("the table is there");
        let action = self.random.pick(&["confirm", "refund", "dismiss"]);
        if let (Some(review), Some(action)) = (self.random.pick(&open), action) {
            let path = format!("/reviews/{review}");
            let response = post(&self.host, &path, &json!({ "action": action }));
            assert!(matches!(response.status(), 200 | 409), "{}", response.text());
        }
    }

    fn wait(&mut self) {
        let minutes = self.random.below(25);
        self.host.advance(Duration::from_secs(60 * minutes));
        self.host.run_jobs(&JOBS);
    }
}

#[test]
fn invariants_hold_after_every_step_of_a_random_history() {
    for seed in 1..=12 {
        let mut shop = Shop::open(seed, seed % 2 == 0);
        for _ in 0..80 {
            shop.step();
        }
    }
}

#[test]
fn in_the_end_every_payment_is_known_every_refund_is_made_and_the_erp_has_every_order() {
    for seed in 100..=105 {
        let mut shop = Shop::open(seed, true);
        for _ in 0..60 {
            shop.step();
        }
        // The outside works again, and two nights pass.
        shop.outside.borrow_mut().failures = 0;
        for _ in 0..50 {
            shop.host.advance(Duration::from_secs(60 * 60));
            shop.host.run_jobs(&JOBS);
        }
        check_invariants(&shop.products);
        let count = |sql: &str| db::query_one::<i64>(sql, ()).expect("the tables are there");
        let outside = shop.outside.borrow();
        for (intent, payment) in &outside.payments {
            let sql = "SELECT refunded_cents FROM payments WHERE intent = $1";
            let refunded: Option<i64> = db::query_optional(sql, (intent,)).expect("the table is there");
            assert_eq!(
                refunded,
                payment["refunded_cents"].as_i64(),
                "seed {seed}: {payment}"
            );
        }
        let waiting = "SELECT count(*) FROM refunds WHERE state = 'requested'";
        assert_eq!(count(waiting), 0, "seed {seed}");
        let unsynced = "SELECT count(*) FROM orders WHERE synced_revision < revision";
        let dead = shop.host.dead_letters();
        assert!(count(unsynced) == 0 || !dead.is_empty(), "seed {seed}");
        let placed = "SELECT count(*) FROM orders WHERE state = 'placed'";
        assert_eq!(count(placed), 0, "seed {seed}: what is not paid expires");
    }
}

#[test]
fn the_browser_and_the_webhook_complete_an_order_once() {
    let mut shop = Shop::open(7, true);
    shop.outside.borrow_mut().failures = 0;
    let (chair, _) = shop.products[2];
    let id = order(&shop.host, chair, 1);
    shop.orders.push(id);
    shop.outside.borrow_mut().payments.insert(
        "pi_1".to_owned(),
        json!({ "id": "pi_1", "status": "requires_action", "order_id": id, "amount_cents": 100 }),
    );
    let back = |order: i64| {
        let path = format!("/orders/{order}/payment-return");
        let body = json!({ "payment_intent": "pi_1" });
        shop.host.request("POST", &path).json(&body).send(&APP)
    };
    assert_eq!(back(id).json::<Value>()["outcome"], Value::Null);
    assert_eq!(show(id)["payment_state"], "requires_action");
    assert_eq!(back(id + 1).status(), 404, "it is the payment of another order");
    if let Some(payment) = shop.outside.borrow_mut().payments.get_mut("pi_1") {
        payment["status"] = json!("succeeded");
    }
    assert_eq!(back(id).json::<Value>()["outcome"], "confirmed");
    assert_eq!(back(id).json::<Value>()["outcome"], "duplicate");
    shop.tell(&json!({
        "id": "e", "type": "payment.succeeded", "order_id": id, "amount_cents": 100, "payment_intent": "pi_1",
    }));
    check_invariants(&shop.products);
    assert_eq!(show(id)["state"], "confirmed");
}

#[test]
fn a_lost_event_is_found_at_night() {
    let shop = Shop::open(9, true);
    shop.outside.borrow_mut().failures = 0;
    let (chair, _) = shop.products[2];
    let id = order(&shop.host, chair, 1);
    shop.outside.borrow_mut().payments.insert(
        "pi_1".to_owned(),
        json!({ "id": "pi_1", "status": "succeeded", "order_id": id, "amount_cents": 100 }),
    );
    shop.host.advance(Duration::from_secs(10 * 60));
    assert_eq!(show(id)["state"], "placed");
    for _ in 0..24 {
        shop.host.advance(Duration::from_secs(60 * 60));
        shop.host.run_jobs(&JOBS);
    }
    // It had expired by then, and its stock was still there.
    assert_eq!(show(id)["state"], "confirmed");
    check_invariants(&shop.products);
}
