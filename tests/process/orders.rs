//! Tests of the example plugin `orders`, from the first product to a payment, over real HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex};

use serde_json::{Value, json};

use super::host::{HostProcess, until};
use super::shop::{Shop, now, payment, sign};

/// A host with a shop, and its folder.
fn shop() -> (HostProcess, Shop, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    let shop = Shop::open(&host);
    (host, shop, folder)
}

#[test]
fn products_have_a_price_and_a_stock() {
    let (host, shop, _folder) = shop();
    let body = json!({ "sku": "CHAIR", "name": "Chair", "price_cents": 4990, "stock": 2 });
    let made = shop.post("/products", &body);
    assert_eq!(made.headers["location"], "products/1");
    assert_eq!(
        made.expect(201),
        json!({ "id": 1, "sku": "CHAIR", "name": "Chair", "price_cents": 4990, "stock": 2 })
    );
    assert_eq!(
        shop.post("/products", &body).problem(),
        (409, "sku-taken".to_owned())
    );
    let wrong = shop.post(
        "/products",
        &json!({ "sku": "no spaces", "name": "", "price_cents": -1 }),
    );
    assert_eq!(wrong.problem(), (400, "validation-failed".to_owned()));
    assert!(!wrong.body()["errors"].as_array().unwrap().is_empty());

    let change = |body: Value| shop.json("PATCH", "/products/1", &body);
    assert_eq!(change(json!({ "stock_delta": 3 })).expect(200)["stock"], 5);
    assert_eq!(
        change(json!({ "stock_delta": -6 })).problem(),
        (409, "stock-below-zero".to_owned())
    );
    assert_eq!(
        change(json!({ "stock": 9, "price_cents": 1 })).expect(200)["stock"],
        9
    );

    let anybody = host.http();
    assert_eq!(
        anybody.get("/shop/orders/products/1").expect(200)["price_cents"],
        1
    );
    assert_eq!(anybody.post("/shop/orders/products", &body).problem().0, 401);
    assert_eq!(anybody.get("/shop/orders/orders").problem().0, 401);
}

#[test]
fn a_cart_is_quoted_by_a_function_and_takes_nothing() {
    let (host, shop, _folder) = shop();
    let chair = shop.product(4990, 1);
    let cart = |product: i64| json!({ "lines": [{ "product_id": product, "quantity": 2 }] });
    let quote = shop.post("/-/functions/order.quote", &cart(chair)).expect(200);
    assert_eq!(quote["total_cents"], 2 * 4990);
    assert_eq!(quote["lines"][0]["is_in_stock"], false);
    assert_eq!(shop.stock(chair), 1);
    let unknown = shop.post("/-/functions/order.quote", &cart(chair + 1));
    assert_eq!(unknown.problem(), (400, "invalid-input".to_owned()));
    let anybody = host.http();
    let refused = anybody.post("/shop/orders/-/functions/order.quote", &cart(chair));
    assert_eq!(refused.problem().0, 401);
    let list = [
        "invocations",
        "list",
        "--tenant",
        "shop",
        "--function",
        "order.quote",
        "--json",
    ];
    let listed = host.cli(&list).json();
    let outcomes: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["outcome"])
        .collect();
    assert_eq!(outcomes, ["invalid-input", "answered"]);
}

#[test]
fn an_order_takes_stock_and_adds_up() {
    let (_host, shop, _folder) = shop();
    let (chair, table) = (shop.product(4990, 5), shop.product(19900, 2));
    let lines = json!([
        { "product_id": chair, "quantity": 3 },
        { "product_id": table, "quantity": 1 },
    ]);
    let order = shop.order_lines(&lines).expect(201);
    assert_eq!(order["total_cents"], 3 * 4990 + 19900);
    assert_eq!((shop.stock(chair), shop.stock(table)), (2, 1));
    let too_many = json!([
        { "product_id": table, "quantity": 1 },
        { "product_id": chair, "quantity": 3 },
    ]);
    assert_eq!(
        shop.order_lines(&too_many).problem(),
        (409, "out-of-stock".to_owned())
    );
    assert_eq!(
        (shop.stock(chair), shop.stock(table)),
        (2, 1),
        "all of it or none"
    );
    assert_eq!(shop.order(99, 1).problem(), (422, "unknown-product".to_owned()));
}

#[test]
fn of_two_buyers_of_the_last_item_exactly_one_gets_it() {
    let (host, shop, _folder) = shop();
    for round in 0..10 {
        let last = shop.product(100, 1);
        let start = Barrier::new(2);
        let mut answers: Vec<u16> = std::thread::scope(|scope| {
            let buyers = [(); 2].map(|()| {
                // Each buyer has its own connections.
                let buyer = Shop::known(&host, &shop.key);
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    buyer.order(last, 1).status
                })
            });
            buyers.map(|buyer| buyer.join().unwrap()).into()
        });
        answers.sort_unstable();
        assert_eq!(answers, [201, 409], "round {round}");
        assert_eq!(shop.stock(last), 0);
    }
}

#[test]
fn lists_are_paged() {
    let (_host, shop, _folder) = shop();
    let chair = shop.product(100, 100);
    for _ in 0..5 {
        shop.order(chair, 1).expect(201);
    }
    let mut seen = Vec::new();
    let mut path = "/orders?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = shop.get(&path).expect(200);
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["id"].as_i64().unwrap()),
        );
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/orders?limit=2&cursor={next}");
    }
    assert_eq!((seen, pages), (vec![5, 4, 3, 2, 1], 3));
    assert_eq!(shop.get("/orders?status=paid").expect(200)["items"], json!([]));
    assert_eq!(shop.get("/orders?cursor=nonsense").problem().0, 400);
}

#[test]
fn an_order_moves_on_step_by_step() {
    let (_host, shop, _folder) = shop();
    let chair = shop.product(100, 5);
    let order = shop.order(chair, 2).expect(201);
    assert_eq!(
        shop.move_to(&order, "shipped").problem(),
        (409, "illegal-transition".to_owned())
    );
    for status in ["paid", "shipped", "delivered"] {
        assert_eq!(shop.move_to(&order, status).expect(200)["status"], status);
    }
    assert_eq!(
        shop.move_to(&order, "cancelled").problem(),
        (409, "illegal-transition".to_owned())
    );
    assert_eq!(
        shop.move_to(&order, "lost").problem(),
        (400, "validation-failed".to_owned())
    );

    let other = shop.order(chair, 3).expect(201);
    assert_eq!(shop.stock(chair), 0);
    assert_eq!(
        shop.move_to(&other, "cancelled").expect(200)["status"],
        "cancelled"
    );
    assert_eq!(shop.stock(chair), 3, "what was not sold is back");
}

#[test]
fn a_payment_counts_once_and_only_with_the_provider_s_signature() {
    let (_host, shop, _folder) = shop();
    let order = shop.order(shop.product(4990, 5), 1).expect(201);
    let status = || shop.get(&format!("/orders/{}", order["id"])).expect(200)["status"].clone();
    let body = payment("e1", &order);
    let refused = (401, "invalid-signature".to_owned());
    let good = sign(now(), &body);
    let tampered = body.replace("4990", "1");
    for (signature, body) in [
        (sign(now() - 301, &body).as_str(), &body),
        (&sign(now() + 330, &body), &body),
        (&good, &tampered),
        (&good.replace("v1=", "v0="), &body),
        (&format!("t={},v1={}", now(), "0".repeat(64)), &body),
    ] {
        assert_eq!(
            shop.webhook(signature, body).problem(),
            refused,
            "{signature} {body}"
        );
    }
    assert_eq!(status(), "pending");
    assert_eq!(shop.webhook(&good, &body).expect(200)["outcome"], "applied");
    assert_eq!(status(), "paid");
    assert_eq!(
        shop.webhook(&sign(now(), &body), &body).expect(200)["outcome"],
        "duplicate"
    );
    assert_eq!(status(), "paid");
}

#[test]
fn the_webhook_of_the_manifest_confirms_an_order_by_a_job() {
    let (_host, shop, _folder) = shop();
    let order = shop.order(shop.product(4990, 5), 1).expect(201);
    let body = payment("e1", &order);
    assert_eq!(
        shop.hook(&sign(now() - 301, &body), &body).problem(),
        (400, "invalid-webhook".to_owned())
    );
    for _ in 0..2 {
        shop.hook(&sign(now(), &body), &body).expect(200);
    }
    let path = format!("/orders/{}", order["id"]);
    until(|| (shop.get(&path).expect(200)["state"] == "confirmed").then_some(()));
    let invoice = shop.get(&format!("{path}/invoice")).expect(200);
    assert_eq!(invoice["number"], "INV-000001");
    let payments = shop.get(&format!("{path}/payments")).expect(200);
    assert_eq!(payments["payments"].as_array().unwrap().len(), 1);
    // The route of earlier versions tells of the same payment.
    let again = shop.webhook(&sign(now(), &payment("e2", &order)), &payment("e2", &order));
    assert_eq!(again.expect(200)["outcome"], "duplicate");
}

#[test]
fn a_total_is_converted_by_a_rate_service_that_may_hiccup() {
    let (address, seen) = service(r#"{"base":"USD","rates":{"EUR":0.905}}"#);
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_HTTP_CLIENT__ALLOW_LOOPBACK", "true")]);
    let shop = Shop::open_with(&host, |manifest| {
        manifest.replace("https://api.frankfurter.dev", &format!("http://{address}"))
    });
    let setting = format!("rates_url=http://{address}/v1/latest");
    host.cli(&[
        "config", "set", &setting, "--tenant", "shop", "--plugin", "orders",
    ])
    .ok();
    let order = shop.order(shop.product(1999, 1), 1).expect(201);
    let path = format!("/orders/{}?currency=EUR", order["id"]);
    let wanted = json!({ "currency": "EUR", "rate": 0.905, "total_cents": 1809 });
    assert_eq!(shop.get(&path).expect(200)["converted"], wanted);
    let asked = || -> Vec<String> { seen.lock().unwrap().iter().map(|head| head[0].clone()).collect() };
    let wanted_request = "GET /v1/latest?base=USD&symbols=EUR HTTP/1.1";
    assert_eq!(
        asked(),
        [wanted_request, wanted_request],
        "the first answer was a 503"
    );
    assert_eq!(shop.get(&path).expect(200)["converted"], wanted);
    assert_eq!(asked().len(), 2, "the rate was kept");
}

#[test]
fn an_order_is_sent_to_an_erp_that_may_hiccup() {
    let (address, seen) = service("{}");
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_HTTP_CLIENT__ALLOW_LOOPBACK", "true")]);
    let shop = Shop::open_with(&host, |manifest| {
        manifest
            .replace("https://erp.example.com", &format!("http://{address}"))
            .replace("initial = \"2s\"", "initial = \"1ms\"")
    });
    let setting = format!("erp_url=http://{address}/orders");
    host.cli(&[
        "config", "set", &setting, "--tenant", "shop", "--plugin", "orders",
    ])
    .ok();
    let order = shop.order(shop.product(1999, 1), 1).expect(201);
    let path = format!("/orders/{}", order["id"]);
    until(|| shop.get(&path).expect(200)["synced_at"].as_i64());
    let key = format!("idempotency-key: order-{}", order["id"]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2, "the first answer was a 503: {seen:?}");
    for head in seen.iter() {
        assert_eq!(head[0], "POST /orders HTTP/1.1");
        assert!(head.contains(&key), "{head:?}");
    }
}

/// A local HTTP service: it answers the first request with 503, and further ones with a JSON body.
/// It records the heads of its requests, line by line.
fn service(body: &'static str) -> (std::net::SocketAddr, Arc<Mutex<Vec<Vec<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            if head.is_empty() {
                continue;
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            let length: u64 = length.map_or(0, |length| length.parse().unwrap());
            // A body that is not read would reset the connection before the answer arrives.
            let mut sent = Vec::new();
            let _ = reader.take(length).read_to_end(&mut sent);
            let count = {
                let mut notes = notes.lock().unwrap();
                notes.push(head);
                notes.len()
            };
            let (status, body) = match count {
                1 => ("503 Service Unavailable", ""),
                _ => ("200 OK", body),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            );
            // The caller may have given up.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, seen)
}
