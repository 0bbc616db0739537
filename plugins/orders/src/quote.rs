//! Quotes the price of a cart before it is ordered. Nothing is reserved: only an order takes stock.

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::orders::{NewLine, merge_lines};

#[derive(Deserialize)]
pub struct Cart {
    lines: Vec<NewLine>,
}

#[derive(Serialize)]
pub struct Quote {
    lines: Vec<QuoteLine>,
    total_cents: i64,
}

#[derive(Serialize)]
struct QuoteLine {
    product_id: i64,
    name: String,
    unit_price_cents: i64,
    quantity: i64,
    /// Whether the stock is sufficient now.
    is_in_stock: bool,
}

/// Returns the lines of a cart with current prices, and their total.
pub fn quote(cart: Cart) -> Result<Quote, Error> {
    let lines = merge_lines(cart.lines)?;
    let lines = lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let total_cents = lines.iter().try_fold(0_i64, |sum, line| {
        sum.checked_add(line.unit_price_cents.checked_mul(line.quantity)?)
    });
    Ok(Quote {
        total_cents: total_cents.ok_or_else(|| Error::unprocessable("the total is out of range"))?,
        lines,
    })
}

fn line(line: &NewLine) -> Result<QuoteLine, Error> {
    let id = line.product_id;
    let product: Option<(String, i64, i64)> = db::query_optional(
        "SELECT name, price_cents, stock FROM products WHERE id = $1",
        (id,),
    )?;
    let (name, unit_price_cents, stock) =
        product.ok_or_else(|| Error::bad_request(format!("there is no product {id}")))?;
    let quantity = i64::from(line.quantity);
    Ok(QuoteLine {
        product_id: id,
        name,
        unit_price_cents,
        quantity,
        is_in_stock: stock >= quantity,
    })
}

#[cfg(test)]
mod tests {
    use mortise_sdk::Response;
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use crate::FUNCTIONS;
    use crate::testing::{host, product, stock};

    fn quote(host: &Host, lines: Value) -> Response {
        let call = host.function("order.quote").scopes(["orders:write"]);
        call.json(&json!({ "lines": lines })).call(&FUNCTIONS)
    }

    #[test]
    fn a_quote_adds_up_and_takes_nothing() {
        let host = host();
        let (tea, cup) = (product("tea", 450, 3), product("cup", 1200, 1));
        let response = quote(
            &host,
            json!([
                {"product_id": cup, "quantity": 2},
                {"product_id": tea, "quantity": 1},
                {"product_id": tea, "quantity": 1},
            ]),
        );
        assert_eq!(response.status(), 200, "{}", response.text());
        let quote: Value = response.json();
        assert_eq!(quote["total_cents"], 2 * 450 + 2 * 1200);
        let lines = quote["lines"].as_array().expect("a quote has lines");
        let in_stock: Vec<_> = lines.iter().map(|line| &line["is_in_stock"]).collect();
        assert_eq!(in_stock, [true, false]);
        assert_eq!((stock(tea), stock(cup)), (3, 1));
    }

    #[test]
    fn a_cart_that_cannot_be_priced_is_refused() {
        let host = host();
        let unknown = quote(&host, json!([{"product_id": 7, "quantity": 1}]));
        assert_eq!(unknown.status(), 400);
        assert_eq!(unknown.json::<Value>()["code"], "invalid-input");
        let empty = quote(&host, json!([])).json::<Value>();
        assert_eq!(empty["code"], "validation-failed");
    }
}
