//! The catalogue: products, their stock, and the cached first page.

use std::time::Duration;

use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::pagination::{Page, PageQuery};

const FIRST_PAGE: &str = "products:first-page";
/// A page may be cached concurrently with the change that deletes it. This bounds the age of such a
/// page.
const FIRST_PAGE_TTL: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    pub id: i64,
    pub sku: String,
    pub name: String,
    pub price_cents: i64,
    pub stock: i64,
}

#[derive(Deserialize)]
pub struct NewProduct {
    sku: String,
    name: String,
    price_cents: i64,
    #[serde(default)]
    stock: i64,
}

/// A change of a product. Absent fields stay unchanged. The schema rejects `stock` and
/// `stock_delta` together.
#[derive(Deserialize)]
pub struct ProductChange {
    name: Option<String>,
    price_cents: Option<i64>,
    stock: Option<i64>,
    stock_delta: Option<i64>,
}

pub fn list(Query(query): Query<PageQuery>) -> Result<Json<Page<Product>>, Error> {
    if !query.is_first_default() {
        return Ok(Json(read_page(&query)?));
    }
    match cache::get_json(FIRST_PAGE) {
        Ok(Some(page)) => return Ok(Json(page)),
        Ok(None) => {}
        Err(error) => log::warn("The product list is read without the cache", &[("error", &error)]),
    }
    let page = read_page(&query)?;
    if let Err(error) = cache::set_json(FIRST_PAGE, &page, FIRST_PAGE_TTL) {
        log::warn("The product list was not cached", &[("error", &error)]);
    }
    Ok(Json(page))
}

pub fn show(Path(id): Path<i64>) -> Result<Json<Product>, Error> {
    find(id).map(Json)
}

pub fn create(Json(new): Json<NewProduct>) -> Result<impl IntoResponse, Error> {
    let product: Product = db::query_one(
        "INSERT INTO products (sku, name, price_cents, stock, updated_at) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, sku, name, price_cents, stock",
        (&new.sku, &new.name, new.price_cents, new.stock, time::now()),
    )
    .on_unique_violation(|| {
        Error::conflict(format!("a product has the SKU `{}` already", new.sku)).with_code("sku-taken")
    })?;
    forget_first_page();
    Ok((
        Status::CREATED,
        [("location", format!("products/{}", product.id))],
        Json(product),
    ))
}

pub fn change(Path(id): Path<i64>, Json(change): Json<ProductChange>) -> Result<Json<Product>, Error> {
    let delta = change.stock_delta.unwrap_or(0);
    // It is one statement, so that a concurrent order is neither lost nor counted twice.
    let changed: Option<Product> = db::query_optional(
        "UPDATE products SET
             name = coalesce($2, name),
             price_cents = coalesce($3, price_cents),
             stock = coalesce($4, stock) + $5,
             updated_at = $6
         WHERE id = $1 AND coalesce($4, stock) + $5 >= 0
         RETURNING id, sku, name, price_cents, stock",
        (
            id,
            change.name,
            change.price_cents,
            change.stock,
            delta,
            time::now(),
        ),
    )?;
    let Some(product) = changed else {
        let product = find(id)?;
        return Err(Error::conflict("the stock would fall below zero")
            .with_code("stock-below-zero")
            .with_field("stock", product.stock));
    };
    forget_first_page();
    Ok(Json(product))
}

/// Deletes the cached first page. Called after every committed change of the list, stock included.
pub fn forget_first_page() {
    if let Err(error) = cache::delete(FIRST_PAGE) {
        log::warn(
            "The cached product list is old until it expires",
            &[("error", &error)],
        );
    }
}

fn find(id: i64) -> Result<Product, Error> {
    db::query_optional(
        "SELECT id, sku, name, price_cents, stock FROM products WHERE id = $1",
        (id,),
    )?
    .ok_or_else(|| Error::not_found(format!("there is no product {id}")).with_code("unknown-product"))
}

fn read_page(query: &PageQuery) -> Result<Page<Product>, Error> {
    let rows = db::query_as(
        "SELECT id, sku, name, price_cents, stock FROM products WHERE id > $1 ORDER BY id LIMIT $2",
        (query.after()?.unwrap_or(0), query.rows_to_read()),
    )?;
    Ok(query.page(rows, |product: &Product| product.id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{host, product};

    #[test]
    fn a_product_is_created_shown_and_listed() {
        let host = host();
        let body = json!({"sku": "CHAIR-1", "name": "Chair", "price_cents": 4990, "stock": 3});
        let created = host
            .request("POST", "/products")
            .scopes(["products:write"])
            .json(&body)
            .send(&APP);
        assert_eq!(
            (created.status(), created.header("location")),
            (201, Some("products/1"))
        );
        let expected = json!({"id": 1, "sku": "CHAIR-1", "name": "Chair", "price_cents": 4990, "stock": 3});
        assert_eq!(
            host.request("GET", "/products/1").send(&APP).json::<Value>(),
            expected
        );
        assert_eq!(
            host.request("GET", "/products").send(&APP).json::<Value>(),
            json!({"items": [expected]})
        );
    }

    #[test]
    fn writing_needs_the_scope() {
        let host = host();
        assert_eq!(host.request("POST", "/products").send(&APP).status(), 401);
        assert_eq!(
            host.request("POST", "/products")
                .scopes(["orders:write"])
                .send(&APP)
                .status(),
            403
        );
    }

    #[test]
    fn a_sku_is_given_once() {
        let host = host();
        product("CHAIR-1", 100, 1);
        let body = json!({"sku": "CHAIR-1", "name": "Another", "price_cents": 1});
        let response = host
            .request("POST", "/products")
            .scopes(["products:write"])
            .json(&body)
            .send(&APP);
        assert_eq!(
            (response.status(), response.json::<Value>()["code"].clone()),
            (409, json!("sku-taken"))
        );
    }

    #[test]
    fn an_unknown_product_is_absent() {
        let host = host();
        assert_eq!(host.request("GET", "/products/9").send(&APP).status(), 404);
        let change = host
            .request("PATCH", "/products/9")
            .scopes(["products:write"])
            .json(&json!({"stock": 1}));
        assert_eq!(change.send(&APP).status(), 404);
    }

    #[test]
    fn the_list_is_cached_until_something_changes() {
        let host = host();
        let id = product("CHAIR-1", 100, 1);
        let stock =
            || host.request("GET", "/products").send(&APP).json::<Value>()["items"][0]["stock"].clone();
        assert_eq!(stock(), 1);
        // Only the plugin's own functions clear the cache: the old page shows that the cache is
        // used.
        mortise_sdk::db::execute("UPDATE products SET stock = 50", ()).expect("the table is there");
        assert_eq!(stock(), 1);
        let change = json!({"stock_delta": 2});
        host.request("PATCH", &format!("/products/{id}"))
            .scopes(["products:write"])
            .json(&change)
            .send(&APP);
        assert_eq!(stock(), 52);
    }

    #[test]
    fn stock_does_not_fall_below_zero() {
        let host = host();
        let id = product("CHAIR-1", 100, 3);
        let change = json!({"stock_delta": -4});
        let request = host
            .request("PATCH", &format!("/products/{id}"))
            .scopes(["products:write"])
            .json(&change);
        let response = request.send(&APP);
        assert_eq!(response.status(), 409);
        let problem = response.json::<Value>();
        assert_eq!(
            (&problem["code"], &problem["stock"]),
            (&json!("stock-below-zero"), &json!(3))
        );
    }

    #[test]
    fn pages_follow_one_another_without_gaps() {
        let host = host();
        for number in 1..=5 {
            product(&format!("P-{number}"), 100, 1);
        }
        let mut seen = Vec::new();
        let mut path = "/products?limit=2".to_owned();
        loop {
            let page = host.request("GET", &path).send(&APP).json::<Value>();
            seen.extend(
                page["items"]
                    .as_array()
                    .expect("a page has items")
                    .iter()
                    .map(|item| item["id"].clone()),
            );
            let Some(cursor) = page["next_cursor"].as_str() else {
                break;
            };
            path = format!("/products?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        assert_eq!(
            host.request("GET", "/products?cursor=nonsense")
                .send(&APP)
                .status(),
            400
        );
    }
}
