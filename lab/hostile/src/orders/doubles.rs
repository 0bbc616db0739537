//! The payment provider and the ERP of the shop, which fail and lose answers at random.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// The time of a slow answer.
const SLOW: Duration = Duration::from_millis(150);

/// Both servers. They last as long as the process.
pub struct Doubles {
    payments: SocketAddr,
    erp: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A payment in the books of the provider.
#[derive(Clone, Debug)]
pub struct Payment {
    pub order: i64,
    pub amount: i64,
    pub refunded: i64,
}

#[derive(Default)]
struct State {
    random: u64,
    is_repaired: bool,
    payments: BTreeMap<String, Payment>,
    /// The refunds by their idempotency keys, with their amounts.
    refunds: BTreeMap<String, i64>,
    /// The idempotency keys of the orders that the ERP has.
    orders: BTreeSet<String>,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It is refused, without an effect.
    Busy,
    /// It has its effect, and no answer.
    Lost,
    Late,
}

impl Doubles {
    /// Starts the servers.
    pub fn start(seed: u64) -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            random: seed.max(1),
            ..State::default()
        }));
        Ok(Self {
            payments: listen(&state)?,
            erp: listen(&state)?,
            state,
        })
    }

    pub fn payments_origin(&self) -> String {
        format!("http://{}", self.payments)
    }

    pub fn erp_origin(&self) -> String {
        format!("http://{}", self.erp)
    }

    pub fn payments_url(&self) -> String {
        format!("{}/v1", self.payments_origin())
    }

    pub fn erp_url(&self) -> String {
        format!("{}/orders", self.erp_origin())
    }

    /// From now on every request is answered.
    pub fn repair(&self) {
        lock(&self.state).is_repaired = true;
    }

    /// Takes the money of a customer.
    pub fn pay(&self, intent: &str, order: i64, amount: i64) {
        let payment = Payment {
            order,
            amount,
            refunded: 0,
        };
        lock(&self.state).payments.insert(intent.to_owned(), payment);
    }

    /// The payments by their ids.
    pub fn payments(&self) -> BTreeMap<String, Payment> {
        lock(&self.state).payments.clone()
    }

    /// The idempotency keys of the orders that the ERP has.
    pub fn erp_orders(&self) -> BTreeSet<String> {
        lock(&self.state).orders.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a server on a free port.
fn listen(state: &Arc<Mutex<State>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let state = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || {
                // A client that is gone needs no answer.
                let _ = serve(stream, &state);
            });
        }
    });
    Ok(address)
}

/// Answers one request.
fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let (mut key, mut length) = (String::new(), 0_u64);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("idempotency-key") {
            value.trim().clone_into(&mut key);
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    let fate = lock(state).fate();
    let (status, answer) = match fate {
        Fate::Busy => (503, Value::Null),
        _ => lock(state).answer(&method, &target, &key, &body),
    };
    match fate {
        Fate::Lost => return Ok(()),
        Fate::Late => std::thread::sleep(SLOW),
        Fate::Answered | Fate::Busy => {}
    }
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{answer}",
        answer.len()
    )
}

impl State {
    fn fate(&mut self) -> Fate {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        match self.random % 10 {
            _ if self.is_repaired => Fate::Answered,
            0 => Fate::Busy,
            1 => Fate::Lost,
            2 => Fate::Late,
            _ => Fate::Answered,
        }
    }

    fn answer(&mut self, method: &str, target: &str, key: &str, body: &str) -> (u16, Value) {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        match (method, path) {
            ("POST", "/orders") => {
                self.orders.insert(key.to_owned());
                (201, json!({}))
            }
            ("POST", "/v1/refunds") => self.refund(key, body),
            ("GET", "/v1/payments") => {
                let all = self.payments.iter();
                let data: Vec<Value> = all.map(|(id, payment)| shown(id, payment)).collect();
                (200, json!({ "data": data, "next": null }))
            }
            ("GET", path) => {
                let id = path.strip_prefix("/v1/payments/").unwrap_or_default();
                match self.payments.get(id) {
                    Some(payment) => (200, shown(id, payment)),
                    None => (404, json!({})),
                }
            }
            _ => (404, json!({})),
        }
    }

    fn refund(&mut self, key: &str, body: &str) -> (u16, Value) {
        let wanted: Value = serde_json::from_str(body).unwrap_or_default();
        let amount = wanted["amount_cents"].as_i64().unwrap_or(0);
        let answer = (201, json!({ "id": format!("re_{key}") }));
        if key.is_empty() {
            return (400, json!({ "error": "a refund needs an idempotency key" }));
        }
        if self.refunds.contains_key(key) {
            return answer;
        }
        let intent = wanted["payment_intent"].as_str().unwrap_or_default();
        match self.payments.get_mut(intent) {
            Some(payment) if amount > 0 && payment.refunded + amount <= payment.amount => {
                payment.refunded += amount;
                self.refunds.insert(key.to_owned(), amount);
                answer
            }
            _ => (422, json!({ "error": "more than what was paid" })),
        }
    }
}

fn shown(id: &str, payment: &Payment) -> Value {
    json!({
        "id": id, "status": "succeeded", "order_id": payment.order, "amount_cents": payment.amount,
        "refunded_cents": payment.refunded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_has_its_effect_once_and_is_never_more_than_the_payment() {
        let mut state = State::default();
        let payment = Payment {
            order: 1,
            amount: 100,
            refunded: 0,
        };
        state.payments.insert("pi_1".to_owned(), payment);
        let body = r#"{"payment_intent":"pi_1","amount_cents":60}"#;
        for (key, status) in [("a", 201), ("a", 201), ("b", 422), ("", 400)] {
            assert_eq!(state.answer("POST", "/v1/refunds", key, body).0, status, "{key}");
        }
        let (_, shown) = state.answer("GET", "/v1/payments/pi_1", "", "");
        assert_eq!(shown["refunded_cents"], 60);
    }
}
