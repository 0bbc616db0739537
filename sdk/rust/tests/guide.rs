//! The examples of `docs/plugin-guide.md`. Each block of Rust in the guide stands here word for
//! word, so that it compiles, and the first plugin is built from the guide's own files and answers.

use std::fs;
use std::path::PathBuf;

const GUIDE: &str = include_str!("../../../docs/plugin-guide.md");
const HERE: [&str; 2] = [include_str!("guide.rs"), include_str!("guide/mail.rs")];

/// Blocks of one language, without their fences.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let after = GUIDE.split(&fence).skip(1);
    after.filter_map(|rest| rest.split("```").next()).collect()
}

/// Lines without their indentation, and none that is empty.
fn lines(text: &'static str) -> Vec<&'static str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn every_example_of_the_guide_compiles() {
    let here: Vec<&str> = HERE.into_iter().flat_map(lines).collect();
    let examples = blocks("rust");
    assert!(
        examples.len() > 5,
        "the guide has more examples than {}",
        examples.len()
    );
    for example in examples {
        let wanted = lines(example);
        let found = here.windows(wanted.len()).any(|window| window == wanted);
        assert!(
            found,
            "copy this example of the guide into tests/guide.rs:\n{example}"
        );
    }
}

/// The folder of the guide's first plugin, from the guide's own text. It is always the same folder
/// below `target`, so runs leave nothing else behind.
fn visits_folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mortise-guide");
    let migrations = folder.join("migrations");
    fs::create_dir_all(&migrations).expect("the folder can be made");
    let [_, manifest, ..] = blocks("toml")[..] else {
        panic!("the guide has a Cargo.toml and a plugin.toml");
    };
    let [migration] = blocks("sql")[..] else {
        panic!("the guide has one migration");
    };
    fs::write(folder.join("plugin.toml"), manifest).expect("the folder is there");
    fs::write(migrations.join("0001_visits.sql"), migration).expect("the folder is there");
    folder
}

#[rustfmt::skip]
mod visits {
    /// In place of the folder that cargo knows of.
    macro_rules! env {
        ("CARGO_MANIFEST_DIR") => {
            crate::visits_folder()
        };
    }

    use mortise_sdk::prelude::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Visits {
        page: String,
        count: i64,
    }

    fn visit(Path(page): Path<String>) -> Result<Json<Visits>, Error> {
        let count = db::query_one(
            "INSERT INTO visits (page, count) VALUES ($1, 1)
             ON CONFLICT (page) DO UPDATE SET count = count + 1 RETURNING count",
            (&page,),
        )?;
        Ok(Json(Visits { page, count }))
    }

    mortise_sdk::routes! {
        POST "/visits/{page}" => visit,
    }

    #[cfg(test)]
    mod tests {
        use mortise_sdk::testing::Host;

        #[test]
        fn visits_are_counted() {
            let host = Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
            host.request("POST", "/visits/home").send(&super::APP);
            let response = host.request("POST", "/visits/home").send(&super::APP);
            assert_eq!(response.text(), r#"{"page":"home","count":2}"#);
        }
    }
}

#[rustfmt::skip]
mod functions {
    use mortise_sdk::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, Serialize)]
    struct Cart {
        total_cents: i64,
    }

    fn adjust(cart: Cart) -> Result<Cart, Error> {
        if cart.total_cents < 0 {
            return Err(Error::bad_request("a total is not negative"));
        }
        let percent: i64 = config::get_as("discount_percent")?.unwrap_or(0);
        Ok(Cart { total_cents: cart.total_cents * (100 - percent) / 100 })
    }

    mortise_sdk::functions! {
        "price.adjust" => adjust,
    }

    #[test]
    fn a_price_is_adjusted_by_the_setting() {
        let host = mortise_sdk::testing::Host::builder().config("discount_percent", "10").start();
        let call = |total| host.function("price.adjust").json(&Cart { total_cents: total }).call(&FUNCTIONS);
        assert_eq!(call(1000).json::<Cart>().total_cents, 900);
        assert_eq!(call(-1).status(), 400);
    }
}

#[rustfmt::skip]
mod receipts {
    use std::time::Duration;

    use mortise_sdk::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, Serialize)]
    struct Receipt {
        order: i64,
        address: String,
    }

    fn place(Json(receipt): Json<Receipt>) -> Result<Status, Error> {
        let tx = db::begin()?;
        tx.execute("INSERT INTO orders (id) VALUES ($1)", (receipt.order,))?;
        tx.enqueue("send-receipt", &receipt)?;      // the job exists if and only if the transaction commits
        tx.commit()?;
        Ok(Status::CREATED)
    }

    fn send_receipt(receipt: Receipt, job: &Job) -> Result<(), JobError> {
        if receipt.address.is_empty() {
            return Err(JobError::discard("the order has no address"));
        }
        let response = http::post("https://mail.example/messages")
            .header("idempotency-key", &job.id)     // the same for all attempts
            .json(&receipt)
            .send()?;                               // an error: the job runs again later
        if response.status() == 429 {
            return Err(JobError::retry_after(Duration::from_secs(60), "the mail service is busy"));
        }
        response.error_for_status()?;
        Ok(())
    }

    mortise_sdk::jobs! {
        "send-receipt" => send_receipt,
    }

    #[test]
    fn the_job_is_listed() {
        assert_eq!(JOBS.names(), ["send-receipt"]);
    }

    mod background {
        use std::time::Duration;

        use mortise_sdk::jobs::Origin;
        use mortise_sdk::log;
        use mortise_sdk::prelude::*;
        use mortise_sdk::testing::{Host, Outcome};
        use serde::{Deserialize, Serialize};

        use super::{Receipt, place, send_receipt};

        const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

        fn remind(receipt: &Receipt) -> Result<(), jobs::Error> {
            NewJob::new("remind")
                .payload(&receipt)
                .after(Duration::from_secs(3_600))      // or `.at(…)`, in milliseconds since 1970 UTC
                .priority(10)                           // of due jobs, lower numbers run first
                .unique_key("order-7")                  // while such a job waits or runs, no other one is added
                .concurrency_key("customer-3")          // needs `concurrency` in the manifest
                .enqueue()?;                            // or `.enqueue_in(&tx)?`
            Ok(())
        }

        fn book(amount: i64) -> Result<(), Error> {
            db::transaction(|tx| {
                tx.execute("UPDATE account SET balance = balance + $1", (amount,))?;
                tx.complete()?;                     // done if and only if the change is committed
                Ok(())
            })
        }

        fn renew(subscription: i64) -> Result<(), Error> {
            let charge: String = jobs::step("charge", || charge(subscription))?;    // later attempts get the result
            let sql = "INSERT INTO invoices (charge) VALUES ($1)";
            db::transaction(|tx| tx.step("invoice", || tx.execute(sql, (&charge,))))?;
            notify(subscription)                    // if this fails, neither of the two is repeated
        }

        fn charge(subscription: i64) -> Result<String, Error> {
            cache::increment("charges", 1, None)?;
            Ok(format!("charge-{subscription}"))
        }

        /// Fails once.
        fn notify(_: i64) -> Result<(), Error> {
            match cache::set_if_absent("notified", "once", None)? {
                true => Err(Error::unavailable("nobody listens")),
                false => Ok(()),
            }
        }

        fn clean_up(_: (), job: &Job) -> Result<(), Error> {
            if let Origin::Schedule { due_at, .. } = job.origin {
                db::execute("DELETE FROM carts WHERE updated_at < $1", (due_at - WEEK_MS,))?;
            }
            Ok(())
        }

        #[derive(Deserialize, Serialize)]
        struct Paid {
            order: i64,
        }

        fn on_paid(event: Event<Paid>) -> Result<(), Error> {
            let tx = db::begin()?;
            tx.execute("UPDATE orders SET paid_at = $2 WHERE id = $1", (event.data.order, event.time))?;
            tx.publish("order.paid", &event.data)?;     // or `events::publish`, outside of a transaction
            tx.complete()?;
            tx.commit()?;
            Ok(())
        }

        #[derive(Deserialize)]
        struct StripeEvent {
            id: String,
            r#type: String,
        }

        fn on_stripe(event: StripeEvent, job: &Job) -> Result<(), Error> {
            if let Origin::Webhook { name, headers } = &job.origin {
                log::info("Received", &[("webhook", name), ("headers", &headers.len())]);
            }
            let tx = db::begin()?;
            tx.execute("INSERT INTO seen VALUES ($1, $2) ON CONFLICT DO NOTHING", (event.id, event.r#type))?;
            tx.complete()?;     // a later attempt of this job finds that it is done
            tx.commit()?;
            Ok(())
        }

        mortise_sdk::routes! { POST "/orders" => place }

        mortise_sdk::jobs! {
            "send-receipt" => send_receipt,
            "book" => book,
            "renew" => renew,
            "clean-up" => clean_up,
            "on-paid" => on_paid,
            "on-stripe" => on_stripe,
        }

        const TABLES: &str = "
            CREATE TABLE orders (id INTEGER PRIMARY KEY, paid_at INTEGER);
            CREATE TABLE account (balance INTEGER);
            INSERT INTO account VALUES (0);
            CREATE TABLE invoices (charge TEXT);
            CREATE TABLE carts (updated_at INTEGER);
            CREATE TABLE seen (id TEXT PRIMARY KEY, type TEXT);
        ";

        fn host() -> Host {
            let down = std::cell::Cell::new(true);
            let mail = move |_: &http::Message| match down.replace(false) {
                true => Err(http::Error::Timeout),
                false => Ok(http::Response::new(202)),
            };
            Host::builder().sql(TABLES).subscribe("payment.settled", "on-paid").http(mail).start()
        }

        #[test]
        fn a_receipt_is_sent_and_a_payment_arrives() {
            let host = host();
            let receipt = Receipt { order: 7, address: "ada@example.com".to_owned() };
            host.request("POST", "/orders").json(&receipt).send(&APP);
            assert_eq!(host.jobs()[0].name, "send-receipt");
            assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Retry);    // the mail service is down
            host.advance(Duration::from_secs(1));       // failed jobs, delays and schedules become due
            assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Done);
            assert!(host.dead_letters().is_empty());
            host.publish("payments", "payment.settled", &Paid { order: 7 });    // as another plugin
            host.run_jobs(&JOBS);
            assert_eq!(host.events()[0].topic, "order.paid");
            assert_eq!(db::query_one::<bool>("SELECT paid_at IS NOT NULL FROM orders", ()), Ok(true));
        }

        #[test]
        fn what_is_done_is_not_repeated() {
            let host = host();
            assert!(jobs::enqueue("book", &5).is_ok() && jobs::enqueue("renew", &3).is_ok());
            let attempts = host.run_jobs(&JOBS);
            let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
            assert_eq!(outcomes, [Outcome::Done, Outcome::Retry]);
            host.advance(Duration::from_secs(1));
            assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Done);
            assert_eq!(db::query_one::<i64>("SELECT balance FROM account", ()), Ok(5));
            assert_eq!(db::query_as::<String>("SELECT charge FROM invoices", ()), Ok(vec!["charge-3".to_owned()]));
            assert_eq!(cache::increment("charges", 0, None), Ok(1));
        }

        #[test]
        fn the_other_jobs_run() {
            let host = host();
            let receipt = Receipt { order: 7, address: String::new() };
            assert!(remind(&receipt).is_ok() && remind(&receipt).is_ok());
            assert_eq!(host.jobs().len(), 1);
            assert!(jobs::enqueue("send-receipt", &receipt).is_ok());
            assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Dead);
            let origin = Origin::Schedule { name: "nightly".to_owned(), due_at: WEEK_MS + 1 };
            let due = Job { origin, ..Job::default() };
            assert_eq!(db::execute("INSERT INTO carts VALUES (0), (1)", ()), Ok(2));
            assert!(clean_up((), &due).is_ok());
            assert_eq!(db::query_one::<i64>("SELECT count(*) FROM carts", ()), Ok(1));
        }
    }
}

/// What is only compiled.
#[rustfmt::skip]
#[expect(dead_code, unused_variables, reason = "examples show calls, and do nothing with the results")]
mod fragments {
    use std::time::Duration;

    use mortise_sdk::prelude::*;
    use mortise_sdk::testing::Host;
    use mortise_sdk::{App, log};
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize)]
    struct NewThing;

    fn store(_: NewThing) -> Result<i64, Error> {
        Ok(7)
    }

    fn create(Json(new): Json<NewThing>) -> Result<impl IntoResponse, Error> {
        let id = store(new)?;
        Ok((Status::CREATED, [("location", format!("things/{id}"))], Json(id)))
    }

    fn errors(id: i64, cause: http::Error) {
        let unknown = Error::not_found(format!("there is no order {id}"));
        let gone = Error::conflict("the last one is gone").with_code("out-of-stock").with_field("product_id", 7);
        let declined = Error::new(402, "card-declined", "the card was declined");
        let down = Error::unavailable("the ledger is down").with_header("retry-after", "30").with_cause(cause);
    }

    #[derive(Deserialize)]
    struct Product {
        id: i64,
        name: String,
    }

    fn database(id: i64) -> Result<(), Error> {
        let products: Vec<Product> = db::query_as("SELECT id, name FROM products WHERE stock > $1", (0,))?;
        let product: Option<Product> = db::query_optional("SELECT id, name FROM products WHERE id = $1", (id,))?;
        let count: i64 = db::query_one("SELECT count(*) FROM products", ())?;
        let changed: u64 = db::execute("DELETE FROM products WHERE id = $1", (id,))?;

        let tx = db::begin()?;                      // dropped without commit: rolled back
        let taken = tx.execute("UPDATE products SET stock = stock - 1 WHERE id = $1 AND stock >= 1", (id,))?;
        if taken == 0 {
            return Err(Error::conflict("the last one is gone").with_code("out-of-stock"));
        }
        tx.commit()?;

        for row in db::open("SELECT id, name FROM products", ())?.rows::<(i64, String)>(500) {
            let (id, name) = row?;                  // 500 rows in memory at a time
        }
        Ok(())
    }

    #[derive(Serialize, Deserialize)]
    struct Rates;

    fn cached(rates: Rates) -> Result<(), Error> {
        cache::set_json("rates", &rates, Duration::from_secs(600))?;
        let rates: Option<Rates> = cache::get_json("rates")?;   // an entry of another shape counts as missing
        let hits = cache::increment("hits", 1, Duration::from_secs(60))?;
        let mine = cache::set_if_absent("lock", "1", Duration::from_secs(5))?;
        cache::delete("rates")?;
        Ok(())
    }

    #[derive(Serialize, Deserialize)]
    struct Charge;

    fn outbound(charge: Charge, a: &str, b: &str) -> Result<(), Error> {
        let response = http::post("https://payments.example/charges")
            .secret_header("authorization", "Bearer ", "payment_key")   // the plugin never sees the value
            .json(&charge)
            .timeout(Duration::from_secs(2))
            .retry(3, Duration::from_millis(100))
            .send()?
            .error_for_status()?;
        let charge: Charge = response.json()?;

        let (first, second) = (http::get(a).start()?, http::get(b).start()?);   // both under way at once
        let (first, second) = (first.wait()?, second.wait()?);
        Ok(())
    }

    fn settings(body: &str, signature: &str) -> Result<(), Error> {
        let url = config::require("rates_url")?;                       // an error names what is missing
        let size: u32 = config::get_as("page_size")?.unwrap_or(20);

        let valid = secrets::verify_hmac_sha256_hex("webhook", body.as_bytes(), signature)?;   // constant time
        let plain = secrets::reveal("legacy_token")?;                  // only with `reveal` in manifest and grant
        Ok(())
    }

    fn logged(id: i64, total: i64, left: u32) {
        log::info("Order placed", &[("order_id", &id), ("total_cents", &total)]);   // mortise_sdk::log
        ::log::warn!("{left} left");                                                 // the `log` crate works too
        let caller = context::current().principal;
        context::remaining();          // wall-clock time before the host ends this request
        mortise_sdk::time::now();      // milliseconds since 1970 UTC
    }

    const APP: App = super::visits::APP;

    fn tested() {
        let host = Host::builder()
            .plugin(env!("CARGO_MANIFEST_DIR"))     // manifest and migrations
            .config("rates_url", "https://rates.example/latest")
            .secret("webhook", "whsec_test")
            .http(|request| Ok(http::Response::new(200).with_body(r#"{"rates": {"EUR": 0.9}}"#)))
            .start();
        let response = host.request("GET", "/orders/1?currency=EUR").scopes(["orders:read"]).send(&APP);
        assert_eq!(response.status(), 200);
        host.advance(Duration::from_secs(601));     // cached entries expire, signatures grow old
        assert!(host.logs().is_empty());
    }
}

#[path = "guide/mail.rs"]
#[rustfmt::skip]
mod mail;
