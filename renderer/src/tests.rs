//! Native tests of rendering whole templates.

use super::*;

fn files(files: &[(&str, &str)]) -> Files {
    let files = files.iter();
    files
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
        .collect()
}

fn rendered(all: &[(&str, &str)], values: &str) -> Result<Mail, Failure> {
    let files = files(all);
    check(&files).unwrap();
    render(&files, "paid", values)
}

#[test]
fn a_template_has_values_parts_and_a_layout() {
    let mail = rendered(
        &[
            ("paid.subject", "Order {{ order }} is paid\n"),
            (
                "paid.txt",
                "Dear {{ name }},\n{% for line in lines %}\n- {{ line.count }} x {{ line.name }}\n{% endfor %}\nBye\n",
            ),
            (
                "paid.html",
                "{% extends \"_layout.html\" %}{% block main %}<p>Dear {{ name }}</p>{% endblock %}",
            ),
            (
                "_layout.html",
                "<main>{% block main %}{% endblock %}</main>{% include \"_footer.html\" %}",
            ),
            ("_footer.html", "<i>{{ shop }}</i>"),
        ],
        r#"{"order": 7, "name": "<Ada>", "shop": "A & B", "lines": [{"count": 2, "name": "<cup>"}]}"#,
    );
    let mail = mail.unwrap();
    assert_eq!(mail.subject, "Order 7 is paid");
    assert_eq!(mail.text, "Dear <Ada>,\n- 2 x <cup>\nBye");
    assert_eq!(
        mail.html.unwrap(),
        "<main><p>Dear &lt;Ada&gt;</p></main><i>A &amp; B</i>"
    );
}

#[test]
fn a_template_without_a_text_gets_one_from_its_html() {
    let source = "<mjml><mj-head><mj-preview>Paid</mj-preview></mj-head><mj-body><mj-section><mj-column>\
                  <mj-text>Thank you, {{ name }}!</mj-text>\
                  <mj-button href=\"https://shop.example.com/{{ order }}\">See it</mj-button>\
                  </mj-column></mj-section></mj-body></mjml>";
    let mail = rendered(
        &[("paid.subject", "Paid"), ("paid.mjml", source)],
        r#"{"name": "<b>Ada</b>", "order": 7}"#,
    );
    let mail = mail.unwrap();
    let html = mail.html.unwrap();
    assert!(html.contains("Thank you, &lt;b&gt;Ada&lt;&#x2f;b&gt;!"), "{html}");
    assert!(!html.contains("fonts.googleapis.com"), "{html}");
    assert!(mail.text.contains("Thank you, <b>Ada</b>!"), "{}", mail.text);
    assert!(
        mail.text.contains("See it (https://shop.example.com/7)"),
        "{}",
        mail.text
    );
    assert!(
        !mail.text.contains("mj-") && !mail.text.contains('{'),
        "{}",
        mail.text
    );
}

#[test]
fn a_value_adds_no_header_and_no_control_character_to_the_subject() {
    let template = [("paid.subject", "Order of {{ name }}"), ("paid.txt", "x")];
    let mail = rendered(&template, r#"{"name": "Ada\r\nBcc: eve@example.com"}"#).unwrap();
    assert_eq!(mail.subject, "Order of Ada Bcc: eve@example.com");
    let failed = rendered(&template, r#"{"name": "Ada\u0000"}"#).unwrap_err();
    assert_eq!(
        failed.to_string(),
        "paid.subject: the subject has a control character"
    );
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(1_000));
    assert!(matches!(rendered(&template, &long), Err(Failure::Limit(_))));
    let empty = [("paid.subject", "{{ name }}"), ("paid.txt", "x")];
    let failed = rendered(&empty, r#"{"name": " "}"#).unwrap_err();
    assert_eq!(failed.to_string(), "paid.subject: the subject is empty");
}

#[test]
fn what_is_missing_or_wrong_is_said_with_its_place() {
    let template = [
        ("paid.subject", "Paid"),
        ("paid.txt", "{% if note %}{{ note }}{% endif %}\n{{ name }}"),
        ("_unused.txt", "x"),
    ];
    assert_eq!(rendered(&template, r#"{"name": "Ada"}"#).unwrap().text, "Ada");
    let failed = rendered(&template, "{}").unwrap_err().to_string();
    assert!(failed.starts_with("paid.txt:2: undefined value"), "{failed}");
    for values in ["", "[]", "7", "{"] {
        assert!(
            matches!(rendered(&template, values), Err(Failure::Values(_))),
            "{values}"
        );
    }
    let failed = render(&files(&template), "other", "{}").unwrap_err();
    assert_eq!(
        failed.to_string(),
        "the plugin has no template `other`; it has paid"
    );
    let nested = [
        ("paid.subject", "Paid"),
        ("paid.txt", "{% include '_part.txt' %}"),
        ("_part.txt", "\n\n{{ missing }}"),
    ];
    let failed = rendered(&nested, "{}").unwrap_err().to_string();
    assert!(failed.starts_with("_part.txt:3: "), "{failed}");
}

#[test]
fn a_syntax_error_is_found_with_its_line() {
    let wrong = files(&[("paid.subject", "Paid"), ("paid.txt", "a\n{% if %}\nb")]);
    let problem = check(&wrong).unwrap_err();
    assert_eq!(
        (problem.file.as_str(), problem.line),
        ("paid.txt", Some(2)),
        "{problem}"
    );
    assert!(
        problem.to_string().starts_with("paid.txt:2: syntax error"),
        "{problem}"
    );
}

#[test]
fn a_loop_without_an_end_runs_out_of_fuel() {
    let looping = "{% for a in range(9000) %}{% for b in range(9000) %}{{ b }}{% endfor %}{% endfor %}";
    let failed = rendered(&[("paid.subject", "Paid"), ("paid.txt", looping)], "{}").unwrap_err();
    assert!(matches!(failed, Failure::Limit(_)), "{failed}");
    let recursive = [
        ("paid.subject", "Paid"),
        ("paid.txt", "{% include '_part.txt' %}"),
        ("_part.txt", "{% include '_part.txt' %}"),
    ];
    assert!(rendered(&recursive, "{}").is_err());
}

#[test]
fn a_mail_has_a_size() {
    let values = format!(r#"{{"name": "{}"}}"#, "x".repeat(MAX_MAIL_BYTES));
    let failed = rendered(&[("paid.subject", "Paid"), ("paid.txt", "{{ name }}!")], &values).unwrap_err();
    assert!(matches!(failed, Failure::Limit(_)), "{failed}");
}
