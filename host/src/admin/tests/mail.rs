//! Tests of mail in the admin API: who sees what, changes, and settings.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Answer, TestApp};
use crate::domain::clock::Clock as _;
use crate::domain::id::{MailId, TenantId};
use crate::domain::mail::{MailState, Outcome, RecipientState};
use crate::domain::role::Role;
use crate::storage::conformance::{mail_to, plugin, tenant};

/// A tenant `acme` with a mail of its plugin `orders`.
struct Shop {
    app: TestApp,
    tenant: TenantId,
    mail: MailId,
    viewer: String,
    developer: String,
    owner: String,
}

const ADA: &str = "ada@customer.example";

impl Shop {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let tenant = tenant(&*app.db, "acme").await.id;
        plugin(&*app.db, tenant, "orders").await;
        app.lifecycle.refresh(tenant).await;
        let at = app.clock.now().0;
        Self {
            mail: mail_to(&*app.db, tenant, &[ADA], "Order 7", at).await,
            viewer: app.with_role(Role::Viewer, tenant).await,
            developer: app.with_role(Role::Developer, tenant).await,
            owner: app.owner(tenant).await,
            app,
            tenant,
        }
    }

    async fn call(&self, token: &str, method: &str, below: &str, body: Option<Value>) -> Answer {
        let path = format!("/api/v1/tenants/acme/mail{below}");
        self.app.call(token, method, &path, body).await
    }

    async fn get(&self, token: &str, below: &str) -> Answer {
        self.call(token, "GET", below, None).await
    }

    /// The text of a response, and its headers as text.
    async fn text(&self, below: &str) -> (String, String) {
        let request = Request::builder()
            .uri(format!("/api/v1/tenants/acme/mail{below}"))
            .header("authorization", format!("Bearer {}", self.developer))
            .body(Body::empty())
            .unwrap();
        let response = self.app.send(request).await;
        assert_eq!(response.status(), StatusCode::OK, "{below}");
        let headers = format!("{:?}", response.headers());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8(bytes.to_vec()).unwrap(), headers)
    }

    async fn end(&self, state: MailState, of_ada: RecipientState) {
        let outcome = Outcome {
            address: ADA.parse().unwrap(),
            state: of_ada,
            reply: Some("552 5.2.2 mailbox full".to_owned()),
        };
        self.app
            .db
            .note_sent(
                self.tenant,
                self.mail,
                &[outcome],
                state,
                Some("552 5.2.2 mailbox full"),
                self.app.clock.now(),
            )
            .await
            .unwrap();
    }

    /// The actions and subjects of the audit log, the newest first.
    async fn audit(&self) -> Vec<(String, String)> {
        let page = self.app.get(&self.owner, "/api/v1/tenants/acme/audit").await;
        let text = |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
        let entries = page.body["items"].as_array().unwrap().iter();
        entries
            .map(|entry| (text(entry, "action"), text(entry, "subject")))
            .collect()
    }
}

#[tokio::test]
async fn a_viewer_sees_that_there_is_mail_and_not_to_whom() {
    let shop = Shop::open().await;
    shop.end(MailState::Failed, RecipientState::Refused).await;
    let one = format!("/{}", shop.mail);
    for below in ["", one.as_str()] {
        let all = shop.get(&shop.developer, below).await.body.to_string();
        for content in [ADA, "Order 7", "receipt", "mailbox full", "shop@acme.example"] {
            assert!(all.contains(content), "{content}: {all}");
        }
        let little = shop.get(&shop.viewer, below).await.body.to_string();
        for content in ["customer.example", "Order", "receipt", "mailbox", "shop@"] {
            assert!(!little.contains(content), "{content}: {little}");
        }
        assert!(little.contains("\"state\":\"failed\""), "{little}");
        assert!(little.contains("\"recipient_count\":1"), "{little}");
    }
    let shown = shop.get(&shop.viewer, &one).await.body;
    assert_eq!(shown["content_hidden"], true);
    assert_eq!(shown["recipients"][0]["state"], "refused");
}

#[tokio::test]
async fn the_content_is_shown_as_it_is_and_runs_nothing() {
    let shop = Shop::open().await;
    let (source, headers) = shop.text(&format!("/{}/source", shop.mail)).await;
    assert!(source.starts_with("Subject: x\r\n"), "{source}");
    assert!(headers.contains("message/rfc822"), "{headers}");
    let (text, headers) = shop.text(&format!("/{}/text", shop.mail)).await;
    assert_eq!(text, "Your order: 100% of Order 7");
    for wanted in [
        "text/plain; charset=utf-8",
        "sandbox",
        "default-src 'none'",
        "nosniff",
    ] {
        assert!(headers.contains(wanted), "{wanted}: {headers}");
    }
    let html = shop.get(&shop.developer, &format!("/{}/html", shop.mail)).await;
    assert!(html.problem().contains("no HTML"), "{}", html.problem());
    let (lines, _) = shop.text(&format!("/export?recipient={ADA}")).await;
    let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(line["subject"], "Order 7");
    assert_eq!(line["source_base64"], "U3ViamVjdDogeA0KDQo=");
    let (none, _) = shop.text("/export?recipient=eve@customer.example").await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn mail_is_found_by_text_recipient_and_tag() {
    let shop = Shop::open().await;
    for (query, wanted) in [
        ("q=order%207", 1),
        ("q=nothing", 0),
        ("recipient=ADA@customer.example", 1),
        ("recipient=ADA@customer.example&state=sent", 0),
        ("tag=receipt", 1),
        ("", 1),
    ] {
        let found = shop.get(&shop.developer, &format!("/search?{query}")).await;
        assert_eq!(
            found.body["items"].as_array().unwrap().len(),
            wanted,
            "{query}: {}",
            found.body
        );
    }
    for (query, wanted) in [
        ("recipient=ada", "recipient: "),
        ("state=dead", "state: `dead` is not a state"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from: "),
    ] {
        let refused = shop.get(&shop.developer, &format!("/search?{query}")).await;
        let problem = refused.problem();
        assert!(
            problem.starts_with("400") && problem.contains(wanted),
            "{query}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_failed_mail_is_sent_again() {
    let shop = Shop::open().await;
    let path = format!("/{}/resend", shop.mail);
    let waits = shop.call(&shop.developer, "POST", &path, None).await;
    assert!(waits.problem().starts_with("409 conflict"), "{}", waits.problem());
    shop.end(MailState::Failed, RecipientState::Refused).await;
    let again = shop.call(&shop.developer, "POST", &path, None).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.problem());
    assert_eq!(again.body["state"], "queued");
    assert_eq!(again.body["recipients"][0]["state"], "pending");
    let job = again.body["job"].as_str().unwrap();
    let job = shop
        .app
        .get(&shop.developer, &format!("/api/v1/tenants/acme/jobs/{job}"))
        .await;
    assert_eq!(
        (&job.body["plugin"], &job.body["job"]),
        (&json!("-"), &json!("mail"))
    );
    assert_eq!(
        shop.audit().await[0],
        ("mail.resend".to_owned(), format!("orders {}", shop.mail))
    );
}

#[tokio::test]
async fn mail_to_a_person_is_erased() {
    let shop = Shop::open().await;
    let at = shop.app.clock.now().0;
    let other = mail_to(
        &*shop.app.db,
        shop.tenant,
        &["bob@customer.example"],
        "Order 8",
        at,
    )
    .await;
    let erased = shop
        .call(&shop.developer, "DELETE", &format!("?recipient={ADA}"), None)
        .await;
    assert_eq!(erased.body, json!({ "deleted": 1 }));
    let gone = shop.get(&shop.developer, &format!("/{}", shop.mail)).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(
        shop.audit().await[0],
        ("mail.purge".to_owned(), "recipient=*@customer.example".to_owned())
    );
    let one = format!("/{other}");
    let deleted = shop.call(&shop.developer, "DELETE", &one, None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let again = shop.call(&shop.developer, "DELETE", &one, None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn addresses_are_suppressed_and_the_audit_log_does_not_name_them() {
    let shop = Shop::open().await;
    let add = async |body: Value| {
        shop.call(&shop.developer, "POST", "/suppressions", Some(body))
            .await
    };
    let body = json!({ "address": "Ada@Customer.example", "note": "asked by phone" });
    assert_eq!(add(body.clone()).await.status, StatusCode::CREATED);
    assert_eq!(add(body).await.status, StatusCode::OK);
    for wrong in [
        json!({ "address": "ada" }),
        json!({ "address": ADA, "note": "" }),
        json!({ "address": ADA, "reason": "added" }),
    ] {
        assert_eq!(add(wrong).await.status, StatusCode::BAD_REQUEST);
    }
    let list = shop.get(&shop.developer, "/suppressions").await.body;
    assert_eq!(list["items"][0]["address"], ADA);
    assert_eq!(list["items"][0]["reason"], "added");
    assert_eq!(list["items"][0]["detail"], "asked by phone");
    let one = format!("/suppressions/{ADA}");
    let removed = shop.call(&shop.developer, "DELETE", &one, None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let again = shop.call(&shop.developer, "DELETE", &one, None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let audit = shop.audit().await;
    assert_eq!(
        audit[..2],
        [
            ("mail.unsuppress".to_owned(), "*@customer.example".to_owned()),
            ("mail.suppress".to_owned(), "*@customer.example".to_owned())
        ]
    );
}

#[tokio::test]
async fn the_operator_sets_sender_domains_and_the_owner_a_server() {
    let shop = Shop::open().await;
    let operator = shop.app.operator().await;
    let domains = |domains: &[&str]| Some(json!({ "domains": domains }));
    let put = async |token: &str, body| shop.call(token, "PUT", "/sender-domains", body).await;
    assert_eq!(
        put(&shop.owner, domains(&["example.com"])).await.status,
        StatusCode::FORBIDDEN
    );
    let set = put(&operator, domains(&["Example.COM", "b.example"])).await;
    assert_eq!(set.body, json!({ "domains": ["b.example", "example.com"] }));
    assert_eq!(shop.get(&shop.viewer, "/sender-domains").await.body, set.body);
    let wrong = put(&operator, domains(&["@example.com"])).await;
    assert!(wrong.problem().contains("`@example.com`"), "{}", wrong.problem());
    let recorded = shop.audit().await.len();
    put(&operator, domains(&["example.com", "b.example"])).await;
    assert_eq!(shop.audit().await.len(), recorded, "nothing changed");

    let server = json!({
        "host": "smtp.example.com", "port": 587, "security": "starttls",
        "username": "shop", "password_secret": "smtp_password",
    });
    let put = async |token: &str, body: &Value| shop.call(token, "PUT", "/smtp", Some(body.clone())).await;
    assert_eq!(put(&shop.developer, &server).await.status, StatusCode::FORBIDDEN);
    let set = put(&shop.owner, &server).await;
    assert_eq!(set.body, json!({ "server": server, "password_is_set": false }));
    let secret = "/api/v1/tenants/acme/secrets/smtp_password";
    let value = Some(json!({ "value": "hunter2" }));
    shop.app.call(&shop.owner, "PUT", secret, value).await;
    let shown = shop.get(&shop.viewer, "/smtp").await.body;
    assert_eq!(shown["password_is_set"], true);
    let mut redis = server.clone();
    redis["port"] = json!(6379);
    let refused = put(&shop.owner, &redis).await;
    assert!(
        refused.problem().starts_with("400 invalid-request: port: "),
        "{}",
        refused.problem()
    );
    let removed = shop.call(&shop.owner, "DELETE", "/smtp", None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let again = shop.call(&shop.owner, "DELETE", "/smtp", None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.get(&shop.viewer, "/smtp").await.body, json!({}));
}

#[tokio::test]
async fn simulated_failures_are_replaced_as_a_whole() {
    let shop = Shop::open().await;
    let put = async |body: Value| shop.call(&shop.developer, "PUT", "/failures", Some(body)).await;
    let set = put(json!({ "rules": [{ "recipient": "*", "failure": "temporary" }] })).await;
    let wanted = json!({ "rules": [{ "recipient": "*", "failure": "temporary", "probability": 100 }] });
    assert_eq!(set.body, wanted);
    assert_eq!(shop.get(&shop.developer, "/failures").await.body, wanted);
    let refused = put(json!({ "rules": [{ "recipient": "x", "failure": "temporary" }] })).await;
    assert!(
        refused.problem().contains("rules[0].recipient"),
        "{}",
        refused.problem()
    );
    assert_eq!(put(json!({ "rules": [] })).await.status, StatusCode::OK);
}
