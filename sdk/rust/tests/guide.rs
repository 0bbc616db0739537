//! The examples of `docs/plugin-guide.md`. Each block of Rust in the guide stands here word for
//! word, so that it compiles, and the first plugin is built from the guide's own files and answers.

use std::fs;
use std::path::PathBuf;

const GUIDE: &str = include_str!("../../../docs/plugin-guide.md");
const HERE: &str = include_str!("guide.rs");

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
    let here = lines(HERE);
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
