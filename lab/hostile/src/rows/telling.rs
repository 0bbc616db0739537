//! J7, J8, H11 and H12: leaks through logs, metrics and pages, and guessed tokens.

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};
use rig::wire::Wire;
use serde_json::json;
use std::time::Duration;

use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _, at_once};

pub const ROWS: [Row; 4] = [
    Row {
        id: "H11",
        tried: "cursors of another tenant's pages, and cursors made up",
        run: h11,
    },
    Row {
        id: "H12",
        tried: "a flood of guesses at tokens of the admin API",
        run: h12,
    },
    Row {
        id: "J7",
        tried: "paths and methods made up, to fill the metrics",
        run: j7,
    },
    Row {
        id: "J8",
        tried: "a secret as the name of a field, in two fields, cut by the end of a line",
        run: j8,
    },
];

fn h11(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let (mine, theirs) = (host.tenant("h11-mine")?, host.tenant("h11-theirs")?);
    for tenant in [&mine, &theirs] {
        for _ in 0..3 {
            tenant.key(&[])?;
        }
    }
    let page = host.admin().get(&theirs.path("/api-keys?limit=1"))?.ok()?;
    let cursor = page["next"]
        .as_str()
        .or(page["cursor"].as_str())
        .or(page["next_cursor"].as_str())
        .with_context(|| format!("a cursor: {page}"))?
        .to_owned();
    let person = mine.person("owner")?;
    let reply = person.get(&mine.path(&format!("/api-keys?limit=200&cursor={cursor}")))?;
    ensure!(reply.status == 200 || reply.status == 400, "{}", reply.seen());
    let keys = host.admin().get(&theirs.path("/api-keys?limit=200"))?.ok()?;
    for key in keys["items"].as_array().context("keys")? {
        let id = key["id"].as_str().context("an id")?;
        ensure!(
            !reply.text().contains(id),
            "another tenant's key: {}",
            reply.text()
        );
    }
    let made_up = [
        "x",
        "%00",
        "AAAA",
        "' OR 1=1 --",
        "9999999999999999999999",
        &"a".repeat(4_000),
    ];
    for cursor in made_up {
        let cursor: String = cursor.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let reply = person.get(&mine.path(&format!("/api-keys?cursor={cursor}")))?;
        ensure!(reply.status < 500, "{cursor:.60}: {}", reply.seen());
    }
    Ok(format!(
        "another tenant's: {}; {} made up: no page of others, no 500",
        reply.seen(),
        made_up.len()
    ))
}

fn h12(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let path = "/api/v1/tenants/good/plugins";
    let call = Call::get(host.admin, path).header("authorization", "Bearer mrt_guessed_by_nobody");
    let flood = ClosedLoop::new(call, 16, Duration::from_secs(stage.scaled(1, 5))).start()?;
    let own: Vec<Result<()>> = at_once(4, |_| {
        (0..10).try_for_each(|_| {
            host.admin().get(path)?.is("200")?;
            host.serves_the_good_tenant()
        })
    });
    let report = flood.join();
    own.into_iter()
        .collect::<Result<()>>()
        .context("beside the guesses")?;
    let refused = report.responses(|status| status == 401 || status == 429);
    ensure!(
        report.responses(|_| true) == refused && refused > 0,
        "{}",
        report.trouble()
    );
    Ok(format!(
        "{refused} guesses refused, the operator and the good tenant served meanwhile"
    ))
}

fn j7(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "j7", &stage.guests.echo)?;
    let series = || -> Result<usize> {
        let text = host.admin().get("/metrics")?.is("200")?.text();
        Ok(text.lines().filter(|line| !line.starts_with('#')).count())
    };
    tenant.get("echo", "/warm")?.is("200")?;
    let before = series()?;
    for index in 0..300 {
        let path = format!("/{}/echo/made-up/{index}?q={index}", tenant.name);
        host.http()
            .header("x-label", &index.to_string())
            .get(&path)?
            .is("200")?;
        host.http()
            .get(&format!("/nobody-{index}/x"))?
            .is("404 not-found")?;
    }
    let method = format!("M{}", stage.random(1_000_000));
    let line = format!("{method} /{}/echo/x HTTP/1.1", tenant.name);
    Wire::exchange(
        host.public,
        format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )?;
    let after = series()?;
    ensure!(after <= before + 40, "{before} series became {after}");
    Ok(format!("{before} series before, {after} after 600 paths"))
}

fn j8(stage: &Stage) -> Seen {
    const SECRET: &str = "hunter2-hunter2-hunter2";
    let tenant = attacker(stage, "j8", &stage.guests.capabilities)?;
    tenant.secret("revealed", SECRET)?;
    let long = format!("{}{SECRET}", "x".repeat(8_192 - 10));
    let inputs = [
        json!({ "reveal": "revealed", "message": SECRET }),
        json!({ "reveal": "revealed", "message": format!("{SECRET}{SECRET}") }),
        json!({ "reveal": "revealed", "message": format!("a\n{SECRET}\r\nb\0") }),
        json!({ "reveal": "revealed", "message": long }),
        json!({ "reveal": "revealed", "message": "m", "fields": { SECRET: "v", "k": SECRET } }),
    ];
    for input in &inputs {
        let reply = tenant.post("capabilities", "/log", input)?.is("200")?;
        let log = serde_json::Value::from(tenant.log(&reply)?).to_string();
        ensure!(!log.contains("hunter2-hunter2"), "{log:.300}");
    }
    ensure!(!stage.plain()?.log().contains(SECRET), "it is in the host's log");
    Ok(format!("{} ways of logging it, redacted in each", inputs.len()))
}
