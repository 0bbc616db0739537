//! The test host, where the cases of `sdk/conformance` have no words for it: what a test says, and
//! what fails one.

use mortise_sdk::prelude::*;
use mortise_sdk::testing::{Host, HostBuilder};

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/hello");

fn hello() -> HostBuilder {
    Host::builder().plugin(HELLO)
}

/// The test itself has a transaction open, which is another client's to the request.
#[test]
fn a_request_beside_an_open_transaction_waits_in_vain_to_write_and_reads_the_state_before() {
    let host = Host::builder()
        .sql("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        .start();
    let open = db::begin().expect("nothing else is open");
    assert_eq!(open.execute("UPDATE t SET a = 2", ()), Ok(1));
    let get = |path| host.request("GET", path).send(&plugin::APP);
    assert_eq!(get("/read").text(), "1");
    for path in ["/write", "/begin"] {
        let refused = get(path);
        assert_eq!(
            (refused.status(), refused.header("retry-after")),
            (503, Some("1")),
            "{path}"
        );
    }
    assert!(
        matches!(db::begin(), Err(db::Error::Invalid(_))),
        "one client has one transaction"
    );
    open.commit().expect("nothing hinders it");
    assert_eq!(get("/begin").status(), 204);
    assert_eq!(get("/read").text(), "2");
}

mod plugin {
    use mortise_sdk::prelude::*;

    mortise_sdk::routes! {
        GET "/who" => |principal: Principal| format!("{} {}", principal.id, principal.scopes.join(",")),
        GET "/many" => || {
            for _ in 0..=1_000 {
                let _ = context::current();
            }
        },
        GET "/read" => || db::query_one::<i64>("SELECT a FROM t", ()).map(|a| a.to_string()),
        GET "/write" => || db::execute("UPDATE t SET a = 3", ()).map(drop),
        GET "/begin" => || db::begin().map(drop),
        GET "/log" => || {
            log::info!("mine");
            log::info!(target: "other", "theirs");
        },
    }
}

#[test]
fn a_plugin_without_a_database_section_has_none() {
    let _host = hello().start();
    let refused = db::query("SELECT 1", ());
    assert!(
        matches!(&refused, Err(db::Error::Unavailable(why)) if why.contains("[database]")),
        "{refused:?}"
    );
}

#[test]
fn a_test_says_which_key_calls_and_with_which_scopes() {
    let host = Host::builder()
        .principal(Principal::api_key("standing", ["a"]))
        .start();
    let get = || host.request("GET", "/who");
    for (request, expected) in [
        (get(), "standing a"),
        (get().scopes(["b"]), "test-key b"),
        (get().api_key("mine"), "mine "),
        (get().api_key("mine").scopes(["b", "c"]), "mine b,c"),
        (get().scopes(["b", "c"]).api_key("mine"), "mine b,c"),
        (get().principal(Principal::api_key("other", ["d"])), "other d"),
    ] {
        assert_eq!(request.send(&plugin::APP).text(), expected);
    }
    assert_eq!(get().principal(None).send(&plugin::APP).status(), 401);
    assert_eq!(get().send(&plugin::APP).text(), "standing a");
}

#[test]
#[should_panic(expected = "this invocation has made its 1000 host calls")]
fn a_call_that_would_end_the_invocation_fails_the_test() {
    Host::start().request("GET", "/many").send(&plugin::APP);
}

#[test]
fn what_a_test_calls_itself_is_not_counted() {
    let _host = Host::start();
    for _ in 0..=1_000 {
        let _ = context::current();
    }
}

#[test]
fn lines_of_the_plugins_own_crate_have_no_target() {
    let host = Host::start();
    host.request("GET", "/log").send(&plugin::APP);
    let logs = host.logs();
    assert_eq!(
        (logs[0].message.as_str(), logs[0].fields.as_slice()),
        ("mine", &[][..])
    );
    assert_eq!(logs[1].fields, [("target".to_owned(), "other".to_owned())]);
}

#[test]
fn a_request_that_does_not_match_its_schema_is_refused_and_its_id_is_there() {
    let host = hello().start();
    let app = mortise_sdk::App::new(
        "hello",
        &[
            mortise_sdk::Route {
                method: "GET",
                path: "/hello/{name}",
            },
            mortise_sdk::Route {
                method: "POST",
                path: "/echo",
            },
        ],
        |_| "answered".into_response(),
    );
    let post = |body: &str| {
        let request = host
            .request("POST", "/echo")
            .header("content-type", "application/json");
        request.body(body).send(&app)
    };
    assert_eq!(post(r#"{"text": "a"}"#).text(), "answered");
    let refused = post(r#"{"text": ""}"#);
    let problem = refused.json::<serde_json::Value>();
    assert_eq!(
        (refused.status(), &problem["code"]),
        (400, &"validation-failed".into())
    );
    assert_eq!(problem["errors"][0]["pointer"], "/text");
    assert_eq!(
        problem["request_id"],
        refused.header("x-request-id").unwrap_or_default()
    );
}
