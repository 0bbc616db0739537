//! Tests of mail with a whole host and a mail server of the test.

mod caught;
mod failures;
mod sent;
mod servers;
mod vetting;

use std::time::Duration;

use mortise::config::Config;
use mortise::domain::smtp::SmtpSecurity;
use serde_json::{Value, json};

use crate::app::App;
use crate::jobs::{Plugin, WORK, eventually};
use crate::smtp::{Mail, Smtp};

/// The address that the manifest asks for, and a job.
const SECTIONS: &str = "[email]\nfrom = ['shop@example.com', '@news.example.com']\n";

/// Longer than the first wait of a mail that could not be sent.
const FIRST_WAIT: Duration = Duration::from_secs(31);

/// A host that sends mail to the server.
async fn app(server: &Smtp) -> App {
    App::configured(|config| use_server(config, server)).await
}

/// Sets the host's own mail server.
fn use_server(config: &mut Config, server: &Smtp) {
    config.mail.host = server.address().ip().to_string();
    config.mail.port = server.address().port();
    config.mail.security = SmtpSecurity::None;
}

/// A plugin that may send mail, of a tenant with the domains of its senders.
async fn deploy(app: &App) -> Plugin<'_> {
    let plugin = Plugin::deploy(app, &format!("{WORK}{SECTIONS}")).await;
    let domains = json!({ "domains": ["example.com", "news.example.com"] });
    let path = plugin.tenant.path("/mail/sender-domains");
    let set = app.admin("PUT", &path).json(&domains).send().await;
    assert!(set.status.is_success(), "{}", set.text());
    plugin
}

/// Sends a mail with this subject, and returns its id.
async fn send(plugin: &Plugin<'_>, to: &str, subject: &str) -> String {
    send_with(plugin, json!({ "to": to, "subject": subject, "text": "Hello" })).await
}

/// Sends a mail, and returns its id.
async fn send_with(plugin: &Plugin<'_>, mail: Value) -> String {
    let id = plugin.step(json!({ "mail": mail })).await;
    id.as_str().unwrap().to_owned()
}

/// Waits until a mail has this state.
async fn until(plugin: &Plugin<'_>, id: &str, state: &str) -> Value {
    until_mail(plugin, id, |mail| mail["state"] == state).await
}

/// Waits until a mail is as wanted.
async fn until_mail(plugin: &Plugin<'_>, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(async || {
        let mail = plugin.read(&format!("/mail/{id}")).await;
        if is(&mail) { Ok(mail) } else { Err(mail) }
    })
    .await
}

/// Waits until the job of a mail waits for its next attempt.
async fn until_waiting(plugin: &Plugin<'_>, id: &str) -> Value {
    let mail = plugin.read(&format!("/mail/{id}")).await;
    let job = mail["job"].as_str().unwrap();
    plugin.until(job, "scheduled").await
}

/// Lets the mails that wait be tried again.
async fn try_again(app: &App) {
    app.advance(FIRST_WAIT);
    app.pass().await;
}

/// The mails with this subject.
fn received(server: &Smtp, subject: &str) -> Vec<Mail> {
    let mails = server.messages().into_iter();
    mails
        .filter(|mail| mail.header("subject").as_deref() == Some(subject))
        .collect()
}
