//! D: attacks through outbound requests of plugins.

use rig::clock::now;
use rig::guest::Recipe;
use rig::host::Host;
use rig::tenant::Tenant;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::Stage;

pub const ROWS: [Row; 13] = [
    Row {
        id: "D1",
        tried: "the loopback, written in every way",
        run: d1,
    },
    Row {
        id: "D2",
        tried: "IPv4 addresses inside of IPv6 ones",
        run: d2,
    },
    Row {
        id: "D3",
        tried: "private, link-local, metadata, multicast and reserved addresses",
        run: d3,
    },
    Row {
        id: "D4",
        tried: "names that lead to the host's own network",
        run: d4,
    },
    Row {
        id: "D5",
        tried: "addresses where a name is expected, granted as such",
        run: d5,
    },
    Row {
        id: "D6",
        tried: "redirects to metadata, to plain text and in circles",
        run: d6,
    },
    Row {
        id: "D7",
        tried: "URLs that can be read in two ways",
        run: d7,
    },
    Row {
        id: "D8",
        tried: "line ends in paths and headers, a foreign Host",
        run: d8,
    },
    Row {
        id: "D9",
        tried: "CONNECT, Upgrade and headers that frame the message",
        run: d9,
    },
    Row {
        id: "D10",
        tried: "the connection that another tenant has opened",
        run: d10,
    },
    Row {
        id: "D11",
        tried: "servers that drip, never end, unpack to gigabytes, or are silent in TLS",
        run: d11,
    },
    Row {
        id: "D12",
        tried: "a plugin that calls itself",
        run: d12,
    },
    Row {
        id: "D13",
        tried: "a secret header, out of redirects, errors and logs",
        run: d13,
    },
];

/// A tenant of `host` whose plugin may send requests to these origins.
pub(super) fn sender(stage: &Stage, host: &Host, name: &str, origins: &[&str]) -> Result<Tenant> {
    let tenant = host.tenant(name)?;
    let own = stage.server.origin();
    let guest = if origins.is_empty() {
        stage.guests.http_client.clone()
    } else {
        let origins: Vec<&str> = [own.as_str()].iter().chain(origins).copied().collect();
        Recipe::of(test_artifacts::HTTP_CLIENT)?.origins(&origins).guest()
    };
    tenant.deploy(&guest)?;
    Ok(tenant)
}

/// Makes the plugin send a request, and returns its result.
pub(super) fn send(tenant: &Tenant, request: &Value) -> Result<Value> {
    tenant.post("http-client", "/send", request)?.is("200")?.body()
}

/// Checks that the result is a typed error of one of these kinds.
fn refused(answer: &Value, kinds: &[&str]) -> Result<()> {
    let error = answer["error"].as_str().unwrap_or_default();
    let is_kind = |kind: &&str| error.starts_with(&format!("Error::{kind}"));
    ensure!(kinds.iter().any(is_kind), "{kinds:?} was wanted: {answer}");
    Ok(())
}

/// Makes the plugin send requests to all of these, each of which must be rejected before any
/// connection.
fn all_refused(stage: &Stage, tenant: &Tenant, urls: &[String]) -> Seen {
    stage.server.seen();
    for url in urls {
        let answer = send(tenant, &json!({ "url": url })).with_context(|| url.clone())?;
        refused(&answer, &["Denied", "InvalidRequest", "Dns"]).with_context(|| url.clone())?;
    }
    let seen = stage.server.seen();
    ensure!(seen.is_empty(), "the server was reached: {seen:?}");
    Ok(format!("{} of {} refused", urls.len(), urls.len()))
}

/// Grants the origins of these hosts, at the server's port and at the default one, and checks that
/// all are rejected.
fn hosts_refused(stage: &Stage, name: &str, hosts: &str) -> Seen {
    let port = stage.server.port();
    let urls: Vec<String> = hosts
        .split_whitespace()
        .flat_map(|host| [format!("http://{host}:{port}"), format!("https://{host}")])
        .collect();
    let origins: Vec<&str> = urls.iter().map(String::as_str).collect();
    let tenant = sender(stage, stage.plain()?, name, &origins)?;
    all_refused(stage, &tenant, &urls)
}

fn d1(stage: &Stage) -> Seen {
    let hosts = "127.0.0.1 127.1 127.255.255.254 2130706433 0x7f.1 0177.0.0.1 0x7f000001 017700000001 localhost \
         localhost. 0.0.0.0 0 [::] [::1] [0:0:0:0:0:0:0:1]";
    hosts_refused(stage, "d1", hosts)
}

fn d2(stage: &Stage) -> Seen {
    let hosts = "[::ffff:169.254.169.254] [::ffff:127.0.0.1] [::ffff:a00:1] [64:ff9b::a9fe:a9fe] \
         [64:ff9b::7f00:1] [64:ff9b:1::a9fe:a9fe] [2002:a9fe:a9fe::] [2002:7f00:1::] [::169.254.169.254] \
         [::127.0.0.1] [2001:0:a9fe:a9fe::1]";
    hosts_refused(stage, "d2", hosts)
}

fn d3(stage: &Stage) -> Seen {
    let hosts = "10.0.0.1 172.16.0.1 172.31.255.254 192.168.1.1 100.64.0.1 100.100.100.200 169.254.169.254 \
         169.254.170.2 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 \
         239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16 [fc00::1] [fd00:ec2::254] [fe80::1] \
         [ff02::1] [2001:db8::1] [100::1] [fec0::1]";
    let closed = hosts_refused(stage, "d3", hosts)?;
    // Nor if the operator allows loopback.
    let urls: Vec<String> = hosts
        .split_whitespace()
        .map(|host| format!("http://{host}"))
        .collect();
    let origins: Vec<&str> = urls.iter().map(String::as_str).collect();
    let tenant = sender(stage, stage.open()?, "d3", &origins)?;
    let open = all_refused(stage, &tenant, &urls)?;
    Ok(format!("{closed}; with an open loopback {open}"))
}

fn d4(stage: &Stage) -> Seen {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname")?
        .trim()
        .to_lowercase();
    let names = format!("localhost localhost.localdomain ip6-localhost {machine}");
    let refused = hosts_refused(stage, "d4", &names)?;
    // If the address is allowed, the request still uses the name.
    let origin = format!("http://localhost:{}", stage.server.port());
    let tenant = sender(stage, stage.open()?, "d4", &[&origin])?;
    stage.server.seen();
    let answer = send(&tenant, &json!({ "url": format!("{origin}/vetted") }))?;
    ensure!(answer["status"] == 200, "{answer}");
    let seen = stage.server.seen();
    let head = seen.first().context("the server saw nothing")?;
    ensure!(
        head.head
            .to_lowercase()
            .contains(&format!("host: localhost:{}", stage.server.port())),
        "{head:?}"
    );
    Ok(format!(
        "{refused}; an allowed one is dialled where it was vetted, under its name"
    ))
}

fn d5(stage: &Stage) -> Seen {
    // These are never resolved, so the check must not be in the resolver.
    let hosts = "127.0.0.1 [::1] 169.254.169.254 [fd00:ec2::254] 10.0.0.1";
    hosts_refused(stage, "d5", hosts)
}

fn d6(stage: &Stage) -> Seen {
    let tenant = sender(stage, stage.open()?, "d6", &[])?;
    stage.server.seen();
    let own = stage.server.url("/redirect/around");
    for to in [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "file:///etc/passwd",
        &own,
    ] {
        let answer = send(
            &tenant,
            &json!({ "url": stage.server.url(&format!("/redirect/{to}")) }),
        )?;
        ensure!(answer["status"] == 302, "{to}: {answer}");
        let elsewhere = send(&tenant, &json!({ "url": to }))?;
        ensure!(to == own || elsewhere["error"].is_string(), "{to}: {elsewhere}");
    }
    let seen = stage.server.seen();
    ensure!(
        seen.len() == 5,
        "five requests were sent, not {}: {seen:?}",
        seen.len()
    );
    Ok("shown as 302, none followed, each target judged anew".to_owned())
}

fn d7(stage: &Stage) -> Seen {
    let tenant = sender(
        stage,
        stage.open()?,
        "d7",
        &["http://good.example", "https://pay.example"],
    )?;
    let (own, port) = (stage.server.origin(), stage.server.port());
    let at = own.trim_start_matches("http://");
    let urls = [
        format!("http://user@{at}/"),
        format!("http://user:password@{at}/"),
        format!("http://good.example@{at}/"),
        format!("http://{at}\\@evil.example/"),
        format!("http:\\\\{at}/"),
        format!("http://{at}%00.evil.example/"),
        format!("http://good.example%2f@{at}/"),
        format!("http://good.example#@{at}:1/x y"),
        format!("http://127.0.0.1:{}/", port.wrapping_add(1)),
        format!("https://{at}/"),
        format!("http://127.0.0.1.:{}/", port.wrapping_add(1)),
        format!("http://localhost:{port}/"),
        "https://pаy.example/".to_owned(),
        "https://pay.example./".to_owned(),
        "https://pay.example:444/".to_owned(),
        "http://pay.example/".to_owned(),
        "https://sub.pay.example/".to_owned(),
        format!("http://{at}/ HTTP/1.1\r\nhost: evil"),
        format!("\thttp://{at}/"),
        "//good.example/".to_owned(),
        "gopher://good.example/".to_owned(),
        "data:text/plain,x".to_owned(),
        String::new(),
    ];
    all_refused(stage, &tenant, &urls)
}

fn d8(stage: &Stage) -> Seen {
    let tenant = sender(stage, stage.open()?, "d8", &[])?;
    stage.server.seen();
    let url = stage.server.url("/x");
    let absolute = send(
        &tenant,
        &json!({ "url": stage.server.url("/http://evil.example/x") }),
    )?;
    ensure!(absolute["status"] == 200, "{absolute}");
    let seen = stage.server.seen();
    ensure!(
        seen[0].head.starts_with("GET /http://evil.example/x HTTP/1.1"),
        "{seen:?}"
    );
    for (name, value) in [
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("a b", "c"),
        ("a\r\nb", "c"),
        ("", "c"),
        ("host", "evil.example"),
        (":authority", "evil.example"),
    ] {
        refused(
            &send(&tenant, &json!({ "url": url, "headers": { name: value } }))?,
            &["InvalidRequest"],
        )?;
    }
    let method = json!({ "url": url, "method": "GET / HTTP/1.1\r\nhost: evil\r\n\r\nGET" });
    refused(&send(&tenant, &method)?, &["InvalidRequest"])?;
    ensure!(stage.server.seen().is_empty(), "something was sent");
    Ok("an absolute path stays a path; 9 of 9 injections refused".to_owned())
}

fn d9(stage: &Stage) -> Seen {
    let tenant = sender(stage, stage.open()?, "d9", &[])?;
    stage.server.seen();
    let url = stage.server.url("/x");
    let methods = ["CONNECT", "TRACE", "PRI"];
    for method in methods {
        refused(
            &send(&tenant, &json!({ "url": url, "method": method }))?,
            &["InvalidRequest"],
        )
        .context(method)?;
    }
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("content-length", "1"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("proxy-authorization", "x"),
        ("expect", "100-continue"),
    ];
    for (name, value) in headers {
        let answer = send(&tenant, &json!({ "url": url, "headers": { name: value } }))?;
        refused(&answer, &["InvalidRequest"]).context(name)?;
    }
    ensure!(stage.server.seen().is_empty(), "something was sent");
    let lengths = send(&tenant, &json!({ "url": stage.server.url("/lengths") }))?;
    refused(&lengths, &["Protocol", "Connect"])?;
    Ok(format!(
        "{} methods and {} headers refused; a response with two lengths too",
        methods.len(),
        headers.len()
    ))
}

fn d10(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let (one, other) = (
        sender(stage, host, "d10-one", &[])?,
        sender(stage, host, "d10-other", &[])?,
    );
    stage.server.seen();
    let get = json!({ "url": stage.server.url("/x") });
    for tenant in [&one, &one, &other, &other, &one] {
        ensure!(send(tenant, &get)?["status"] == 200);
    }
    let ports: Vec<u16> = stage.server.seen().iter().map(|request| request.peer).collect();
    let (of_one, of_other) = ([ports[0], ports[1], ports[4]], [ports[2], ports[3]]);
    ensure!(
        of_one.iter().all(|port| !of_other.contains(port)),
        "one connection for both: {ports:?}"
    );
    ensure!(
        of_one[0] == of_one[1],
        "no connection was used twice, so this proves nothing: {ports:?}"
    );
    Ok("each tenant's requests on connections of its own, which it uses again".to_owned())
}

fn d11(stage: &Stage) -> Seen {
    let tls = format!("https://127.0.0.1:{}", stage.server.port());
    let tenant = sender(stage, stage.open()?, "d11", &[&tls])?;
    let times = json!({
        "http_connect": "500ms", "http_first_byte": "500ms", "http_total": "1500ms", "wall": "10s", "cpu": "1s",
    });
    tenant.limit(&times)?;
    let begin = now();
    let (url, mut seen) = (|path: &str| stage.server.url(path), Vec::new());
    for (name, url, kinds) in [
        ("silent", url("/never"), ["Timeout", "Timeout"]),
        ("half a head", url("/half"), ["Timeout", "Timeout"]),
        ("drip", url("/drip"), ["Timeout", "Timeout"]),
        ("endless", url("/endless"), ["TooLarge", "Timeout"]),
        ("headers", url("/headers"), ["Protocol", "Connect"]),
        ("TLS", format!("{tls}/x"), ["Timeout", "Tls"]),
    ] {
        let answer = send(&tenant, &json!({ "url": url })).context(name)?;
        // The circuit breaker of a failing server opens, which bounds it as well.
        refused(&answer, &[kinds[0], kinds[1], "CircuitOpen"]).context(name)?;
        seen.push(format!(
            "{name}: {}",
            answer["error"]
                .as_str()
                .unwrap_or_default()
                .replace("Error::", "")
        ));
    }
    let packed = sender(stage, stage.open()?, "d11-bomb", &[])?;
    let answer = send(&packed, &json!({ "url": url("/bomb") }))?;
    let length = answer["body"]["bytes"].as_array().map(Vec::len);
    ensure!(
        answer["error"].is_string() || length.is_some_and(|length| length < 1 << 20),
        "unpacked: {length:?}"
    );
    ensure!(
        begin.elapsed() < Duration::from_secs(40),
        "it took {:?}",
        begin.elapsed()
    );
    Ok(seen
        .iter()
        .map(|one| one.chars().take(40).collect::<String>())
        .collect::<Vec<_>>()
        .join(", "))
}

fn d12(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let own = format!("http://{}", host.public);
    let tenant = sender(stage, host, "d12", &[&own])?;
    let url = format!("{own}/{}/http-client/send", tenant.name);
    let headers = json!({ "content-type": "application/json" });
    let mut request = json!({ "url": stage.server.url("/deepest") });
    for _ in 0..8 {
        request = json!({ "url": url, "method": "POST", "headers": headers, "body": request.to_string() });
    }
    stage.server.seen();
    let answer = send(&tenant, &request)?;
    ensure!(stage.server.seen().is_empty(), "the deepest call was made");
    ensure!(answer.to_string().contains("Error::"), "{answer}");
    let ran = tenant.records(200)?.len();
    ensure!(ran <= 5, "{ran} invocations ran");
    Ok(format!("refused after {ran} invocations"))
}

fn d13(stage: &Stage) -> Seen {
    const SECRET: &str = "s3cret-that-nobody-sees";
    let host = stage.open()?;
    let tenant = sender(stage, host, "d13", &[])?;
    tenant.secret("token", SECRET)?;
    stage.server.seen();
    let mut answers = Vec::new();
    for path in ["/redirect/elsewhere", "/lengths", "/never"] {
        let request = json!({
            "url": stage.server.url(path), "timeout_ms": 300, "secret_headers": { "authorization": "token" },
        });
        answers.push(tenant.post("http-client", "/send", &request)?.is("200")?);
    }
    let seen = stage.server.seen();
    ensure!(
        seen.iter().all(|request| request.head.contains(SECRET)),
        "the server did not get it: {seen:?}"
    );
    for reply in &answers {
        ensure!(!reply.text().contains(SECRET), "{}", reply.text());
        let log = Value::from(tenant.log(reply)?).to_string();
        ensure!(!log.contains(SECRET), "{log}");
    }
    ensure!(!host.log().contains(SECRET), "it is in the host's log");
    let records = Value::from(tenant.records(10)?).to_string();
    ensure!(!records.contains(SECRET), "{records}");
    Ok(format!(
        "the server got it {} times; answers, logs and records hold nothing of it",
        seen.len()
    ))
}
