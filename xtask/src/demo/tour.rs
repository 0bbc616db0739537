//! The tour of the demo: its products and the `curl` lines to try.

use std::path::Path;

use serde_json::Value;

use super::options::Options;
use super::{TENANT, http};
use crate::steps::Result;

const PRODUCTS: [&str; 3] = [
    r#"{"sku": "chisel-12", "name": "Chisel, 12 mm", "price_cents": 2450, "stock": 25}"#,
    r#"{"sku": "mallet-beech", "name": "Mallet, beech", "price_cents": 3190, "stock": 8}"#,
    r#"{"sku": "marking-gauge", "name": "Marking gauge", "price_cents": 4800, "stock": 1}"#,
];

/// Adds products to an empty shop, and returns the id of one.
pub fn stock_the_shop(options: &Options, key: &str) -> Result<i64> {
    let path = format!("/{TENANT}/orders/products");
    let first = || -> Result<Option<i64>> {
        let response = http::request(options.public, "GET", &path, None, "")?;
        let products: Value = serde_json::from_str(&response.body)
            .map_err(|_| format!("GET {path} answered {}: {}", response.status, response.body))?;
        Ok(products["items"][0]["id"].as_i64())
    };
    if let Some(id) = first()? {
        return Ok(id);
    }
    for product in PRODUCTS {
        let response = http::request(options.public, "POST", &path, Some(key), product)?;
        if response.status != 201 {
            return Err(format!(
                "POST {path} answered {}: {}",
                response.status, response.body
            ));
        }
    }
    first()?.ok_or_else(|| format!("GET {path} shows none of the products that were just added"))
}

/// Returns the lines to paste. `commands` is the folder of the executable.
pub fn text(options: &Options, commands: &Path, product: i64) -> String {
    let base = format!("http://{}/{TENANT}", options.public);
    let admin = options.admin;
    let key = options.data.join("demo.key");
    let token = options.data.join("operator.token");
    let (key, token) = (key.display(), token.display());
    format!(
        r#"
Mortise is running. Paste these into another terminal.

# A plugin answers, and reads the query string.
curl '{base}/hello/hello/Ada?greeting=Good+morning'

# The host checks a body against the route's schema before the plugin starts.
curl -i '{base}/hello/echo' -H 'content-type: application/json' -d '{{"text": "measure twice, cut once"}}'
curl -i '{base}/hello/echo' -H 'content-type: application/json' -d '{{"txt": 1}}'

# A shop: its products, read from the tenant's own database and kept in the cache.
curl '{base}/orders/products'

# An order takes its stock in one transaction. It needs the tenant's API key.
curl -i '{base}/orders/orders' -H "authorization: Bearer $(cat '{key}')" \
  -H 'content-type: application/json' \
  -d '{{"customer_email": "ada@example.com", "lines": [{{"product_id": {product}, "quantity": 1}}]}}'
curl '{base}/orders/orders' -H "authorization: Bearer $(cat '{key}')"

# Without the key: 401, and the plugin is never started.
curl -i '{base}/orders/orders'

# Work outside of requests: jobs with their attempts, dead letters, and the next nightly report.
{mortise} jobs list --tenant {TENANT}
{mortise} dead-letters list --tenant {TENANT}
{mortise} schedules list --tenant {TENANT}
{mortise} schedules run nightly --plugin orders --tenant {TENANT}

# Mail that was caught, webhooks that came in, and endpoints for the events of the shop.
{mortise} mail list --tenant {TENANT}
{mortise} webhooks received list --tenant {TENANT}
{mortise} webhooks endpoints list --tenant {TENANT}

# What the host knows: every invocation with its time and memory. The whole admin API: http://{admin}/docs
curl 'http://{admin}/api/v1/tenants/{TENANT}/invocations?limit=3' -H "authorization: Bearer $(cat '{token}')"

# Write a plugin of your own (docs/plugin-guide.md) and deploy it here. These two lines give you the command and the right:
export PATH="$PATH:{commands}"
export MORTISE_TOKEN="$(cat '{token}')"

Ctrl-C stops the host; the data stays in {data}.
"#,
        mortise = format_args!(
            "{} --host http://{admin} --token-file '{token}'",
            commands.join("mortise").display()
        ),
        data = options.data.display(),
        commands = commands.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_json() {
        for product in PRODUCTS {
            let product: Value = serde_json::from_str(product).unwrap();
            assert!(product["price_cents"].as_i64().unwrap() > 0);
        }
    }

    #[test]
    fn the_lines_are_for_the_addresses_that_were_chosen() {
        let options = ["--public", "127.0.0.1:9080", "--admin", "127.0.0.1:9081"].map(str::to_owned);
        let text = text(&Options::parse(&options).unwrap(), Path::new("/target/debug"), 7);
        assert!(text.contains("http://127.0.0.1:9080/demo/hello/hello/Ada"));
        assert!(text.contains("\"product_id\": 7") && !text.contains(":8080") && !text.contains(":8081"));
    }
}
