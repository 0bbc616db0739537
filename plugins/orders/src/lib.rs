//! A small shop backend: products with stock, orders, payments by webhook, totals in other
//! currencies, orders sent to an ERP, and nightly sales reports.
//!
//! | file | subject |
//! | --- | --- |
//! | `products.rs` | the catalogue, its cached first page, and stock |
//! | `orders.rs` | creating, reading and listing orders |
//! | `status.rs` | the status of an order, its transitions, and their effect on stock |
//! | `webhook.rs` | the payment provider's signed events |
//! | `erp.rs` | the job that sends orders to the ERP |
//! | `reports.rs` | the nightly sales reports |
//! | `currency.rs` | totals in other currencies, through a rate service |
//! | `pagination.rs` | pages and their cursors |
//! | `quote.rs` | the price of a cart before it is ordered |

mod currency;
mod erp;
mod orders;
mod pagination;
mod products;
mod quote;
mod reports;
mod status;
#[cfg(test)]
mod testing;
mod webhook;

mortise_sdk::routes! {
    GET "/products" => products::list,
    GET "/products/{id}" => products::show,
    POST "/products" => products::create,
    PATCH "/products/{id}" => products::change,

    POST "/orders" => orders::place,
    GET "/orders" => orders::list,
    GET "/orders/{id}" => orders::show,
    POST "/orders/{id}/status" => status::change,

    GET "/reports/sales" => reports::list,
    GET "/reports/sales/{day}" => reports::show,

    POST "/webhooks/payment" => webhook::receive,
}

mortise_sdk::jobs! {
    "sync-erp" => erp::sync,
    "sales-report" => reports::report,
}

mortise_sdk::functions! {
    "order.quote" => quote::quote,
}
