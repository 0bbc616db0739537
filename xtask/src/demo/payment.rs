//! Shows an order from its payment to its mail: the payment provider's webhook, the mail that the
//! catcher keeps, the job for the ERP, and the sales report.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::background::{call, eventually, newest, text, told, until};
use super::mortise::Mortise;
use super::options::Options;
use super::{TENANT, http};
use crate::steps::{Result, say};

/// The template of the mail that a paid order leads to.
const TEMPLATE: &str = "order-confirmed";

/// Places an order, pays it, and shows what follows.
pub fn show(mortise: &Mortise, options: &Options, key: &str, product: i64) -> Result<()> {
    let (mail_before, job_before) = (newest_mail(mortise)?, newest(mortise)?);
    let path = format!("/{TENANT}/orders/products/{product}");
    call(options, "PATCH", &path, key, &json!({ "stock_delta": 1 }), 200)?;
    let order = call(
        options,
        "POST",
        &format!("/{TENANT}/orders/orders"),
        key,
        &json!({ "customer_email": "ada@example.com", "lines": [{ "product_id": product, "quantity": 1 }] }),
        201,
    )?;
    say(&format!(
        "The order {} is placed: {} cents, status `{}`\n",
        order["id"],
        order["total_cents"],
        text(&order, "status")
    ));

    pay(options, &order)?;
    let path = format!("/{TENANT}/orders/orders/{}", order["id"]);
    let paid = eventually("the paid order", || {
        let order = call(options, "GET", &path, key, &Value::Null, 200)?;
        Ok((order["status"] == "paid").then_some(order))
    })?;
    say(&format!(
        "The payment provider's webhook was verified and acknowledged, and its job moved the order to `{}`\n",
        text(&paid, "status")
    ));

    let mail = eventually("the mail of the order", || {
        Ok(newest_mail(mortise)?.filter(|mail| mail_before.as_ref() != Some(mail)))
    })?;
    let content = mortise.text(&["mail", "text", &mail, "--tenant", TENANT])?;
    say(&format!(
        "No mail server is configured, so the mail was caught; `mortise mail text {mail} --tenant {TENANT}` \
         shows it:\n{}\n",
        indented(&content)
    ));

    let job = eventually("the job for the ERP", || {
        Ok(newest(mortise)?.filter(|job| job_before.as_ref() != Some(job)))
    })?;
    let job = until(mortise, &job, "done")?;
    say(&told("The ERP has the order:", &job));

    let run = [
        "schedules",
        "run",
        "nightly",
        "--plugin",
        "orders",
        "--tenant",
        TENANT,
    ];
    let started = mortise.json(&run)?;
    until(mortise, &text(&started, "job_id"), "done")?;
    let path = format!("/{TENANT}/orders/reports/sales");
    let reports = call(options, "GET", &path, key, &Value::Null, 200)?;
    say(&format!(
        "`mortise schedules run nightly --plugin orders --tenant {TENANT}` made the sales report of the day \
         before: {}\n",
        reports["items"][0]
    ));
    Ok(())
}

/// Sends the event of the payment provider, signed as Stripe does.
fn pay(options: &Options, order: &Value) -> Result<()> {
    let secret = secret(&options.data.join("demo.webhook-secret"))?;
    let body = json!({
        "id": format!("evt_demo_{}", order["id"]),
        "type": "payment.succeeded",
        "order_id": order["id"],
        "amount_cents": order["total_cents"],
        "payment_intent": format!("pi_demo_{}", order["id"]),
    })
    .to_string();
    let signature = signature(&secret, now(), &body)?;
    let path = format!("/{TENANT}/-/webhooks/orders/payments");
    let header = Some(("stripe-signature", signature.as_str()));
    let response = http::request_with(options.public, "POST", &path, header, &body)?;
    if response.status == 200 {
        return Ok(());
    }
    Err(format!(
        "POST {path} answered {}: {}",
        response.status, response.body
    ))
}

fn secret(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the host checks the signature in real time"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// The header `stripe-signature` of a body.
fn signature(secret: &str, at: u64, body: &str) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.map_err(|error| format!("the secret of the webhook: {error}"))?;
    mac.update(format!("{at}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={at},v1={digits}"))
}

/// The id of the newest mail about a paid order.
fn newest_mail(mortise: &Mortise) -> Result<Option<String>> {
    let mails = mortise.list(&["mail", "list", "--tenant", TENANT, "--limit", "10"])?;
    let mail = mails.iter().find(|mail| mail["template"] == TEMPLATE);
    Ok(mail.map(|mail| text(mail, "id")))
}

fn indented(text: &str) -> String {
    let lines = text.trim_end().lines();
    lines
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_stripe_does() {
        // The same values as of `generateTestHeaderString` of Stripe's library.
        let signature = signature("whsec_a", 1_795_843_058, "{}").unwrap();
        let digits = "7c75975e5678bbd0e89581475aca3e338ba6accb2f00f864728033829b7bc656";
        assert_eq!(signature, format!("t=1795843058,v1={digits}"));
    }

    #[test]
    fn each_line_is_indented() {
        assert_eq!(indented("a\n\nb\n"), "  | a\n  | \n  | b");
    }
}
