//! Totals in other currencies, through a rate service.
//!
//! The setting `rates_url` is the URL of the service, such as
//! `https://api.frankfurter.dev/v1/latest`; its origin must be granted. A request has the query
//! `?base=USD&symbols=EUR`, and the response is `{"rates": {"EUR": 0.9}}`.

use std::collections::BTreeMap;
use std::time::Duration;

use mortise_sdk::log;
use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The currency of prices, unless the setting `currency` names another.
const DEFAULT_SHOP_CURRENCY: &str = "USD";
const RATE_TTL: Duration = Duration::from_secs(600);
/// The time limit of all attempts together, because a caller waits for them.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
pub struct Converted {
    pub currency: String,
    pub rate: f64,
    pub total_cents: i64,
}

#[derive(Deserialize)]
struct Rates {
    rates: BTreeMap<String, f64>,
}

/// Converts an amount in the shop's currency, rounded half away from zero.
pub fn convert(cents: i64, currency: &str) -> Result<Converted, Error> {
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Error::bad_request(
            "`currency` is a code of three letters, such as EUR",
        ));
    }
    let currency = currency.to_ascii_uppercase();
    let rate = rate_to(&currency)?;
    Ok(Converted {
        total_cents: converted_cents(cents, rate),
        currency,
        rate,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an amount beyond 64 bits of cents saturates, and no shop has one"
)]
fn converted_cents(cents: i64, rate: f64) -> i64 {
    (cents as f64 * rate).round() as i64
}

fn rate_to(currency: &str) -> Result<f64, Error> {
    let base = config::get("currency").unwrap_or_else(|| DEFAULT_SHOP_CURRENCY.to_owned());
    if currency == base {
        return Ok(1.0);
    }
    let key = format!("rate:{base}:{currency}");
    if let Ok(Some(rate)) = cache::get_json(&key) {
        return Ok(rate);
    }
    let rate = fetch_rate(&base, currency)?;
    if let Err(error) = cache::set_json(&key, &rate, RATE_TTL) {
        log::warn(
            "The rate was not cached",
            &[("currency", &currency), ("error", &error)],
        );
    }
    Ok(rate)
}

fn fetch_rate(base: &str, currency: &str) -> Result<f64, Error> {
    let unavailable = |error: http::Error| {
        Error::unavailable("the rate service does not answer")
            .with_code("rates-unavailable")
            .with_cause(error)
    };
    let response = http::get(config::require("rates_url")?)
        .query(&[("base", base), ("symbols", currency)])
        .timeout(TIMEOUT)
        .retry(ATTEMPTS, FIRST_PAUSE)
        .send()
        .map_err(unavailable)?;
    if matches!(response.status(), 400 | 404 | 422) {
        return Err(unknown_currency(currency));
    }
    let rates: Rates = response
        .error_for_status()
        .and_then(|response| response.json())
        .map_err(unavailable)?;
    match rates.rates.get(currency) {
        Some(rate) if rate.is_finite() && *rate > 0.0 => Ok(*rate),
        _ => Err(unknown_currency(currency)),
    }
}

fn unknown_currency(currency: &str) -> Error {
    Error::unprocessable(format!("there is no rate for {currency}")).with_code("unknown-currency")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use mortise_sdk::http::{self, Message};
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{builder, order, product};

    const RATES_URL: &str = "https://api.frankfurter.dev/v1/latest";

    /// A shop with one order of 1,999 cents, and a counter of the requests to the rate service.
    fn shop(
        answer: impl Fn(u32, &Message) -> Result<http::Response, http::Error> + 'static,
    ) -> (Host, Rc<Cell<u32>>) {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let answer = move |request: &Message| {
            counter.set(counter.get() + 1);
            answer(counter.get(), request)
        };
        let host = builder().config("rates_url", RATES_URL).http(answer).start();
        order(&host, product("CHAIR", 1999, 1), 1);
        (host, count)
    }

    fn euros(rate: f64) -> Result<http::Response, http::Error> {
        Ok(http::Response::new(200).with_body(json!({"base": "USD", "rates": {"EUR": rate}}).to_string()))
    }

    fn show(host: &Host, currency: &str) -> (u16, Value) {
        let path = format!("/orders/1?currency={currency}");
        let response = host.request("GET", &path).scopes(["orders:read"]).send(&APP);
        (response.status(), response.json())
    }

    #[test]
    fn the_total_is_converted_and_rounded() {
        let (host, _) = shop(|_, request| {
            assert_eq!(request.url, format!("{RATES_URL}?base=USD&symbols=EUR"));
            euros(0.905)
        });
        let (status, order) = show(&host, "eur");
        assert_eq!(status, 200);
        assert_eq!(
            order["converted"],
            json!({"currency": "EUR", "rate": 0.905, "total_cents": 1809})
        );
        assert_eq!(order["total_cents"], 1999);
    }

    #[test]
    fn a_rate_is_asked_for_once_until_it_expires() {
        let (host, count) = shop(|number, _| euros(f64::from(number)));
        assert_eq!(show(&host, "EUR").1["converted"]["rate"], 1.0);
        assert_eq!(show(&host, "EUR").1["converted"]["rate"], 1.0);
        assert_eq!(count.get(), 1);
        host.advance(Duration::from_secs(601));
        assert_eq!(show(&host, "EUR").1["converted"]["rate"], 2.0);
    }

    #[test]
    fn a_hiccup_is_tried_again_and_an_outage_is_a_503() {
        let (host, count) = shop(|number, _| {
            if number < 3 {
                Ok(http::Response::new(503))
            } else {
                euros(0.5)
            }
        });
        assert_eq!(show(&host, "EUR").0, 200);
        assert_eq!(count.get(), 3);
        drop(host);
        let (host, count) = shop(|_, _| Err(http::Error::Connect("refused".into())));
        let (status, problem) = show(&host, "EUR");
        assert_eq!((status, &problem["code"]), (503, &json!("rates-unavailable")));
        assert_eq!(count.get(), 3);
    }

    #[test]
    fn the_shops_own_currency_needs_no_request() {
        let (host, count) = shop(|_, _| Err(http::Error::Timeout));
        assert_eq!(show(&host, "USD").1["converted"]["total_cents"], 1999);
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn nonsense_and_unknown_currencies_are_told_apart() {
        let (host, _) = shop(|_, _| euros(0.5));
        assert_eq!(show(&host, "EURO").0, 400);
        let (status, problem) = show(&host, "XXX");
        assert_eq!((status, &problem["code"]), (422, &json!("unknown-currency")));
    }

    #[test]
    fn an_origin_that_is_not_granted_is_not_asked() {
        let host = builder()
            .config("rates_url", "https://elsewhere.example/")
            .http(|_| euros(1.0))
            .start();
        order(&host, product("CHAIR", 1999, 1), 1);
        assert_eq!(show(&host, "EUR").0, 503);
    }
}
