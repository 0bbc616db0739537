//! The examples of the chapter about mail.

use mortise_sdk::prelude::*;
use mortise_sdk::testing::Host;
use serde_json::json;

fn invoice(pdf: Vec<u8>) -> Result<String, email::Error> {
    let id = email::to("Ada <ada@example.com>")
        .reply_to("help@example.com")
        .subject("Your invoice")
        .text("It is attached.")                 // and `.html(…)`; a mail with HTML alone gets a text from it
        .attach("invoice.pdf", "application/pdf", pdf)
        .tag("invoice")
        .send()?;
    Ok(id)
}

fn confirm(order: i64) -> Result<(), Error> {
    let email: String = db::query_one("SELECT customer_email FROM orders WHERE id = $1", (order,))?;
    email::to(email)
        .template("order-confirmed", &json!({ "order": order }))
        .idempotency_key(format!("order-confirmed-{order}"))
        .send()?;
    Ok(())
}

mortise_sdk::jobs! { "confirm" => confirm }

#[test]
fn an_order_is_confirmed_once() {
    let host = Host::builder()
        .sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_email TEXT);
              INSERT INTO orders VALUES (7, 'ada@example.com')")
        .email_from("shop@example.com")
        .template("order-confirmed.subject", "Order {{ order }}")
        .template("order-confirmed.mjml", "<mjml><mj-body><mj-section><mj-column><mj-text>Thank you!</mj-text>\
                  </mj-column></mj-section></mj-body></mjml>")
        .start();
    for _ in 0..2 {
        jobs::enqueue("confirm", &7).unwrap();
    }
    host.run_jobs(&JOBS);
    let mail = &host.mail()[0];
    assert_eq!((mail.to[0].as_str(), mail.subject.as_str()), ("ada@example.com", "Order 7"));
    assert_eq!((host.mail().len(), mail.text.as_str()), (1, "Thank you!"));
    assert!(mail.html.as_ref().unwrap().contains("Thank you!"));
}

#[test]
fn a_file_is_sent() {
    let host = Host::builder().email_from("shop@example.com").start();
    let id = invoice(b"%PDF".to_vec()).unwrap();
    assert_eq!((host.mail()[0].id.as_str(), host.mail()[0].attachments.len()), (id.as_str(), 1));
}
