//! Tests of the commands for mail and its settings with a running host.

use serde_json::json;

use super::cli::host;

const ID: &str = "0190a5c0-0000-7000-8000-000000000001";

#[test]
fn a_tenant_without_mail_has_empty_lists() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let call = |arguments: &[&str]| host.cli(&[arguments, &["--tenant", "acme"]].concat());
    assert_eq!(call(&["mail", "list"]).ok(), "");
    assert_eq!(call(&["mail", "list", "--json"]).json(), json!([]));
    assert_eq!(
        call(&["mail", "search", "order 7", "--recipient", "ada@example.com"]).ok(),
        ""
    );
    assert_eq!(call(&["mail", "export", "--state", "failed"]).ok(), "");
    let purged = call(&[
        "mail",
        "purge",
        "--recipient",
        "ada@example.com",
        "--confirm",
        "acme",
    ]);
    assert_eq!(purged.ok(), "deleted  0\n");
    for (arguments, said, hint) in [
        (
            ["mail", "show", ID].as_slice(),
            "there is no such mail",
            "mortise mail list",
        ),
        (
            &["mail", "source", ID],
            "there is no such mail",
            "mortise mail list",
        ),
        (
            &["mail", "resend", ID],
            "there is no such mail",
            "mortise mail list",
        ),
        (
            &["mail", "smtp", "delete"],
            "there is no such mail server",
            "mortise mail smtp set",
        ),
        (
            &["mail", "purge", "--confirm", "other"],
            "`--confirm other` does not match the name `acme`",
            "repeat the name",
        ),
    ] {
        let refused = call(arguments).fails(1);
        assert!(refused.contains(said) && refused.contains(hint), "{refused}");
    }
}

#[test]
fn addresses_are_suppressed_and_allowed_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let call = |arguments: &[&str]| {
        host.cli(&[&["mail", "suppressions"], arguments, &["--tenant", "acme"]].concat())
    };
    call(&["add", "Ada@Example.com", "--note", "asked by phone"]).ok();
    let listed = call(&["list", "--json"]).json();
    assert_eq!(listed[0]["address"], "ada@example.com");
    assert_eq!(listed[0]["reason"], "added");
    assert_eq!(listed[0]["detail"], "asked by phone");
    call(&["remove", "ada@example.com"]).ok();
    assert_eq!(call(&["list", "--json"]).json(), json!([]));
    let refused = call(&["remove", "ada@example.com"]).fails(1);
    assert!(refused.contains("mortise mail suppressions list"), "{refused}");
}

#[test]
fn the_settings_of_mail_are_set_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let call =
        |arguments: &[&str]| host.cli(&[&["mail"], arguments, &["--tenant", "acme", "--json"]].concat());
    let domains = call(&["sender-domains", "set", "shop.example", "news.shop.example"]).json();
    assert_eq!(
        domains,
        json!({ "domains": ["news.shop.example", "shop.example"] })
    );
    assert_eq!(call(&["sender-domains", "show"]).json(), domains);

    let set = [
        "smtp",
        "set",
        "smtp.example.com",
        "--port",
        "465",
        "--security",
        "tls",
        "--username",
        "shop",
        "--password-secret",
        "smtp_password",
    ];
    let server = call(&set).json();
    assert_eq!(server["server"]["host"], "smtp.example.com");
    assert_eq!(server["server"]["security"], "tls");
    assert_eq!(server["password_is_set"], false);
    let refused = call(&["smtp", "set", "smtp.example.com", "--port", "22"]).fails(1);
    assert!(
        refused.contains("port: 22 is not a port of mail servers"),
        "{refused}"
    );
    call(&["smtp", "delete"]).ok();

    let rules = call(&[
        "failures",
        "set",
        "*@full.example=temporary:50",
        "gone@example.com=permanent",
    ]);
    assert_eq!(
        rules.json(),
        json!([
            { "recipient": "*@full.example", "failure": "temporary", "probability": 50 },
            { "recipient": "gone@example.com", "failure": "permanent", "probability": 100 },
        ])
    );
    assert_eq!(call(&["failures", "clear"]).json(), json!([]));
}
