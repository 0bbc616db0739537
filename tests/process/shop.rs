//! The example plugin `orders`, deployed and called as a tenant's owner and customers would.

use hmac::{Hmac, Mac as _};
use mortise::components::bundle::Bundle;
use mortise::domain::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sha2::Sha256;
use test_artifacts::ORDERS;

use super::host::HostProcess;
use super::http::{Http, Reply};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/orders");
const SECRET: &str = "whsec_of_the_tests";
const BASE: &str = "/shop/orders";

/// The shop of the tenant `shop`.
#[derive(Clone)]
pub struct Shop {
    http: Http,
    anybody: Http,
    /// An API key with all scopes.
    pub key: String,
}

impl Shop {
    /// Creates the tenant, sets its secret, deploys the plugin and creates a key, all with the
    /// command line.
    #[track_caller]
    pub fn open(host: &HostProcess) -> Self {
        Self::open_with(host, |manifest| manifest)
    }

    /// Like [`Shop::open`], with a changed manifest.
    #[track_caller]
    pub fn open_with(host: &HostProcess, change: impl FnOnce(String) -> String) -> Self {
        host.cli(&["tenants", "create", "shop"]).ok();
        let secret = ["secrets", "set", "payment_webhook", "--tenant", "shop"];
        host.cli_with_input(&secret, SECRET).ok();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.wasm");
        std::fs::write(&file, bundled(change)).unwrap();
        host.cli(&["deploy", file.to_str().unwrap(), "--tenant", "shop", "--grant"])
            .ok();
        let key = host.cli(&[
            "keys", "create", "all", "--scopes", "*", "--tenant", "shop", "--json",
        ]);
        Self::known(host, key.json()["credential"].as_str().unwrap())
    }

    /// An existing shop.
    pub fn known(host: &HostProcess, key: &str) -> Self {
        Self {
            http: host.http().bearer(key),
            anybody: host.http(),
            key: key.to_owned(),
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.http.get(&format!("{BASE}{path}"))
    }

    pub fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.http.json(method, &format!("{BASE}{path}"), body)
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, body)
    }

    /// Adds a product and returns its id.
    #[track_caller]
    pub fn product(&self, price_cents: i64, stock: i64) -> i64 {
        let sku = format!("SKU-{}", uuid::Uuid::now_v7().simple());
        let body = json!({ "sku": sku, "name": "Chair", "price_cents": price_cents, "stock": stock });
        self.post("/products", &body).expect(201)["id"].as_i64().unwrap()
    }

    /// The stock of a product.
    #[track_caller]
    pub fn stock(&self, product: i64) -> i64 {
        let product = self.get(&format!("/products/{product}")).expect(200);
        product["stock"].as_i64().unwrap()
    }

    /// Orders one product.
    pub fn order(&self, product: i64, quantity: i64) -> Reply {
        self.order_lines(&json!([{ "product_id": product, "quantity": quantity }]))
    }

    /// Orders several products.
    pub fn order_lines(&self, lines: &Value) -> Reply {
        self.post(
            "/orders",
            &json!({ "customer_email": "ada@example.com", "lines": lines }),
        )
    }

    /// Changes the status of an order.
    pub fn move_to(&self, order: &Value, status: &str) -> Reply {
        self.post(
            &format!("/orders/{}/status", order["id"]),
            &json!({ "status": status }),
        )
    }

    /// Sends a signed event that an order was paid in full.
    pub fn pay(&self, event: &str, order: &Value) -> Reply {
        let body = payment(event, order);
        self.webhook(&sign(now(), &body), &body)
    }

    /// Sends an event without a key, like the payment provider.
    #[track_caller]
    pub fn webhook(&self, signature: &str, body: &str) -> Reply {
        let provider = self.anybody.clone().header("x-signature", signature);
        let body = Some(("application/json", body.as_bytes()));
        provider
            .send("POST", &format!("{BASE}/webhooks/payment"), body)
            .unwrap()
    }

    /// Sends an event to the webhook of the manifest.
    #[track_caller]
    pub fn hook(&self, signature: &str, body: &str) -> Reply {
        let provider = self.anybody.clone().header("stripe-signature", signature);
        let body = Some(("application/json", body.as_bytes()));
        provider
            .send("POST", "/shop/-/webhooks/orders/payments", body)
            .unwrap()
    }
}

/// The event that an order was paid in full.
pub fn payment(event: &str, order: &Value) -> String {
    json!({
        "id": event,
        "type": "payment.succeeded",
        "order_id": order["id"],
        "amount_cents": order["total_cents"],
    })
    .to_string()
}

/// The signature of a body at a time (seconds since 1970).
pub fn sign(at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemClock.now().0 / 1000
}

fn bundled(change: impl FnOnce(String) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for inner in ["schemas", "migrations", "templates"] {
        std::fs::create_dir(folder.path().join(inner)).unwrap();
        for file in std::fs::read_dir(format!("{FOLDER}/{inner}")).unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, folder.path().join(inner).join(path.file_name().unwrap())).unwrap();
        }
    }
    let manifest = std::fs::read_to_string(format!("{FOLDER}/plugin.toml")).unwrap();
    // The host under test is an unoptimized build, which is slower than the plugin's budget allows.
    let manifest = manifest.replace("cpu = \"50ms\"", "cpu = \"500ms\"");
    std::fs::write(folder.path().join("plugin.toml"), change(manifest)).unwrap();
    let component = std::fs::read(ORDERS).unwrap();
    Bundle::from_folder(folder.path())
        .unwrap()
        .embed(&component)
        .unwrap()
}
