//! Mail templates: what an upload is refused for, and what a host makes of them.

use serde_json::{Value, json};
use test_artifacts::ECHO_0_1;

use crate::app::App;
use crate::conformance;
use crate::upload::wasm::with_content;

/// A component of the guest `echo` with templates that `mortise build` did not check.
fn component(email: &str, templates: &Value) -> Vec<u8> {
    let manifest = format!("[plugin]\nname = 'p'\nversion = '1'\n{email}");
    let content = json!({ "format": 1, "manifest": manifest, "templates": templates });
    with_content(&std::fs::read(ECHO_0_1).unwrap(), &content.to_string())
}

const EMAIL: &str = "[email]\nfrom = ['shop@example.com']\ntemplates = 'mail'\n";

#[tokio::test]
async fn a_template_with_a_mistake_is_named_with_its_line() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let whole = |file: &str, text: &str| json!({ "paid.subject": "Paid", "paid.txt": "x", file: text });
    let deep = format!("<mjml><mj-body>{}</mj-body></mjml>", "<div>".repeat(20_000));
    for (email, templates, wanted) in [
        (
            EMAIL,
            whole("paid.txt", "a\n{% if %}"),
            "mail/paid.txt:2: syntax error",
        ),
        (
            EMAIL,
            whole("paid.html", "{{ a"),
            "mail/paid.html:1: syntax error",
        ),
        (
            EMAIL,
            whole("paid.mjml", "<mjml>\n<mj-head>\n<mj-other /></mj-head></mjml>"),
            "mail/paid.mjml:3: invalid MJML",
        ),
        (EMAIL, whole("paid.mjml", &deep), "mail/"),
        (
            EMAIL,
            json!({ "paid.txt": "x" }),
            "mail/paid.txt: the template has no subject",
        ),
        (EMAIL, whole("../x.txt", "x"), "mail/../x.txt: a name is"),
        (
            "",
            whole("paid.txt", "x"),
            "plugin.toml has no `[email] templates`",
        ),
    ] {
        let reply = acme.upload("p", component(email, &templates)).await;
        let reply = reply.expect_problem(422, "invalid-manifest").json();
        let detail = reply["detail"].as_str().unwrap();
        assert!(detail.contains(wanted), "{detail} does not contain {wanted}");
    }
    let good = whole("paid.html", "<p>{{ name }}</p>");
    let reply = acme.upload("p", component(EMAIL, &good)).await;
    assert!(reply.status.is_success(), "{}", reply.text());
}

#[tokio::test]
async fn a_mail_of_a_template_has_its_values_and_nothing_else() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy_bundled(conformance::bundled()).await;
    for mail in ["template", "injected-value"] {
        let reply = app.get(&format!("/acme/conformance/mail/{mail}")).send().await;
        assert_eq!(reply.expect(200).json()["added"], true);
    }
    let listed = app
        .admin("GET", &acme.path("/mail"))
        .send()
        .await
        .expect(200)
        .json();
    let mails = listed["items"].as_array().unwrap();
    assert_eq!(mails.len(), 2, "{listed}");
    for mail in mails {
        assert_eq!(mail["template"], "paid");
        assert_eq!(mail["from"], "shop@example.com");
        let id = mail["id"].as_str().unwrap();
        let text = app
            .admin("GET", &acme.path(&format!("/mail/{id}/text")))
            .send()
            .await;
        let text = text.expect(200).text();
        let html = app
            .admin("GET", &acme.path(&format!("/mail/{id}/html")))
            .send()
            .await;
        let html = html.expect(200).text();
        match mail["subject"].as_str().unwrap() {
            "Order 7 is paid" => {
                assert!(text.contains("Thank you, <Ada>!"), "{text}");
                assert!(html.contains("<p>Thank you, &lt;Ada&gt;!</p>"), "{html}");
            }
            subject => assert_eq!(subject, "Order 7 Bcc: eve@example.com is paid"),
        }
    }
}
