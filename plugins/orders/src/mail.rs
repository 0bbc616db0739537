//! Mail to customers. A job is added in the transaction of the change that the mail is about, so a
//! change that is rolled back sends none, and one that is committed is not forgotten.

use mortise_sdk::db::Transaction;
use mortise_sdk::log;
use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::invoices;
use crate::orders::{self, Order};

const SHOP: &str = "shop_name";
const DEFAULT_SHOP: &str = "The shop";
const CURRENCY: &str = "currency";
const DEFAULT_CURRENCY: &str = "USD";

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mail {
    Received,
    Confirmed,
    Shipped { shipment: i64 },
    Cancelled,
    Refunded { refund: i64 },
}

/// The payload of the job.
#[derive(Deserialize, Serialize)]
pub struct SendMail {
    order_id: i64,
    mail: Mail,
}

/// What the templates use.
#[derive(Serialize)]
struct Values<'a> {
    shop: String,
    order: i64,
    status: &'a str,
    total: String,
    lines: Vec<Line<'a>>,
    invoice: Option<String>,
    carrier: Option<String>,
    tracking: Option<String>,
    refund: Option<String>,
    /// Whether the order ended because it was not paid in time.
    expired: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    quantity: i64,
    price: String,
}

/// Adds the job that sends a mail about an order.
pub fn send_later(transaction: &Transaction, order_id: i64, mail: Mail) -> Result<(), Error> {
    NewJob::new("send-mail")
        .payload(&SendMail { order_id, mail })
        .enqueue_in(transaction)?;
    Ok(())
}

/// The job: renders the mail and hands it to the host. The idempotency key keeps a job that runs
/// twice from sending it twice.
pub fn send(payload: SendMail) -> Result<(), JobError> {
    let (id, mail) = (payload.order_id, payload.mail);
    let order = match orders::find(id) {
        Err(error) if error.status() == 404 => return Err(JobError::discard(error.detail())),
        order => order?,
    };
    let values = values(&order, mail)?;
    let sent = email::to(order.summary.customer_email.as_str())
        .template(mail.template(), &values)
        .tag(mail.template())
        .idempotency_key(mail.key(id))
        .send();
    match sent {
        Ok(mail_id) => {
            log::info(
                "Mail sent",
                &[
                    ("order_id", &id),
                    ("template", &mail.template()),
                    ("mail", &mail_id),
                ],
            );
            Ok(())
        }
        // The same mail would be refused again. The order stays; a person reads the dead letter.
        Err(error @ (email::Error::Invalid(_) | email::Error::NotGranted(_))) => {
            Err(JobError::discard(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn values(order: &Order, mail: Mail) -> Result<Values<'_>, Error> {
    let (mut carrier, mut tracking, mut refund) = (None, None, None);
    match mail {
        Mail::Shipped { shipment } => {
            let (by, number): (String, String) = db::query_one(
                "SELECT carrier, tracking FROM shipments WHERE id = $1",
                (shipment,),
            )?;
            (carrier, tracking) = (filled(by), filled(number));
        }
        Mail::Refunded { refund: id } => {
            let cents: i64 = db::query_one("SELECT amount_cents FROM refunds WHERE id = $1", (id,))?;
            refund = Some(amount(cents));
        }
        Mail::Received | Mail::Confirmed | Mail::Cancelled => {}
    }
    let invoice: Option<i64> = db::query_optional(
        "SELECT number FROM invoices WHERE order_id = $1",
        (order.summary.id,),
    )?;
    let lines = order.lines.iter().map(|line| Line {
        name: &line.name,
        quantity: line.quantity,
        price: amount(line.unit_price_cents.saturating_mul(line.quantity)),
    });
    Ok(Values {
        shop: config::get(SHOP).unwrap_or_else(|| DEFAULT_SHOP.to_owned()),
        order: order.summary.id,
        status: order.summary.status.as_str(),
        total: amount(order.summary.total_cents),
        lines: lines.collect(),
        invoice: invoice.map(invoices::written),
        carrier,
        tracking,
        refund,
        expired: order.summary.cancel_reason.as_deref() == Some("expired"),
    })
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An amount with its currency, such as `49.90 USD`.
fn amount(cents: i64) -> String {
    let currency = config::get(CURRENCY).unwrap_or_else(|| DEFAULT_CURRENCY.to_owned());
    format!("{}.{:02} {currency}", cents / 100, cents % 100)
}

impl Mail {
    fn template(self) -> &'static str {
        match self {
            Self::Received => "order-received",
            Self::Confirmed => "order-confirmed",
            Self::Shipped { .. } => "order-shipped",
            Self::Cancelled => "order-cancelled",
            Self::Refunded { .. } => "order-refunded",
        }
    }

    /// An order gets each mail once, and one for each shipment and refund.
    fn key(self, order: i64) -> String {
        let template = self.template();
        match self {
            Self::Shipped { shipment: id } | Self::Refunded { refund: id } => {
                format!("{template}-{order}-{id}")
            }
            Self::Received | Self::Confirmed | Self::Cancelled => format!("{template}-{order}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use mortise_sdk::testing::Host;
    use serde_json::json;

    use super::amount;
    use crate::JOBS;
    use crate::testing::{builder, host, order, pay, place, post, product};

    fn subjects(host: &Host) -> Vec<String> {
        host.mail().iter().map(|mail| mail.subject.clone()).collect()
    }

    #[test]
    fn a_customer_is_told_of_each_step() {
        let host = builder().config("shop_name", "Chairs & more").start();
        let id = order(&host, product("CHAIR", 4990, 2), 2);
        host.run_jobs(&JOBS);
        pay(&host, "pi_1", id, 9980);
        host.run_jobs(&JOBS);
        let shipment = json!({"carrier": "Post", "tracking": "T-1"});
        assert_eq!(
            post(&host, &format!("/orders/{id}/shipments"), &shipment).status(),
            201
        );
        host.run_jobs(&JOBS);
        let mails = host.mail();
        let templates: Vec<_> = mails
            .iter()
            .filter_map(|mail| mail.idempotency_key.clone())
            .collect();
        assert_eq!(
            templates,
            ["order-received-1", "order-confirmed-1", "order-shipped-1-1"]
        );
        let confirmed = &mails[1];
        assert_eq!(confirmed.to, ["ada@example.com"]);
        assert!(confirmed.text.contains("INV-000001"), "{}", confirmed.text);
        assert!(confirmed.text.contains("99.80 USD"), "{}", confirmed.text);
        let html = confirmed.html.as_deref().unwrap_or_default();
        assert!(html.contains("Chairs &amp; more"), "{html}");
        assert!(mails[2].text.contains("T-1"), "{}", mails[2].text);
    }

    #[test]
    fn an_order_that_is_not_placed_sends_no_mail() {
        let host = host();
        let chair = product("CHAIR", 4990, 1);
        let refused = place(&host, json!([{"product_id": chair, "quantity": 2}]));
        assert_eq!(refused.status(), 409);
        host.run_jobs(&JOBS);
        assert!(subjects(&host).is_empty());
    }

    #[test]
    fn an_event_that_comes_twice_sends_one_mail() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 2), 1);
        for _ in 0..3 {
            pay(&host, "pi_1", id, 4990);
            host.run_jobs(&JOBS);
        }
        assert_eq!(subjects(&host).len(), 2, "{:?}", subjects(&host));
    }

    #[test]
    fn amounts_have_two_digits_of_cents() {
        let _host = host();
        assert_eq!(
            (amount(5), amount(123_400)),
            ("0.05 USD".to_owned(), "1234.00 USD".to_owned())
        );
    }
}
