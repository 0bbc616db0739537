//! Tests of uploads, up to an active version: rejections, and that they leave nothing behind.

mod activation;
mod bomb;
mod component;
mod contract;
mod files;
mod manifest;
mod migrations;
mod proposals;
mod reading;
mod repair;
mod shield;
mod slow;
pub mod wasm;

use crate::app::TestTenant;

/// Uploads a component for the plugin `p`, which must be rejected. Returns the detail and the hint.
async fn refusal(tenant: &TestTenant<'_>, component: Vec<u8>) -> (String, String) {
    let reply = tenant.upload("p", component).await;
    let problem = reply.expect_problem(422, "invalid-component").json();
    let said = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
    (said("detail"), said("hint"))
}

pub use component::{an_import_that_nobody_offers_is_named, routes_need_a_handler};
