//! J1 to J3: attacks on the cache.

use anyhow::{Result, ensure};
use rig::guest::Recipe;
use rig::tenant::Tenant;
use serde_json::{Value, json};

use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, at_once};

pub const ROWS: [Row; 3] = [
    Row {
        id: "J1",
        tried: "the same key in two tenants and two plugins, keys with separators",
        run: j1,
    },
    Row {
        id: "J2",
        tried: "a tenant that fills the cache without end",
        run: j2,
    },
    Row {
        id: "J3",
        tried: "a crowd that wants the same missing entry",
        run: j3,
    },
];

fn cache(tenant: &Tenant, plugin: &str, input: &Value) -> Result<Value> {
    tenant.post(plugin, "/cache", input)?.is("200")?.body()
}

fn j1(stage: &Stage) -> Seen {
    let (one, other) = (
        attacker(stage, "j1-one", &stage.guests.capabilities)?,
        attacker(stage, "j1-other", &stage.guests.capabilities)?,
    );
    one.deploy(&Recipe::of(test_artifacts::CAPABILITIES)?.plugin("second").guest())?;
    let keys = [
        "k",
        "a:b",
        "a/b",
        "a\0b",
        "capabilities:k",
        "j1-other:k",
        "",
        "ключ",
    ];
    for key in keys {
        cache(
            &one,
            "capabilities",
            &json!({ "call": "set", "key": key, "value": "mine" }),
        )?;
        for (tenant, plugin) in [(&one, "second"), (&other, "capabilities")] {
            let found = cache(tenant, plugin, &json!({ "call": "get", "key": key }))?;
            ensure!(found == json!({ "ok": null }), "{key:?}: {found}");
            cache(tenant, plugin, &json!({ "call": "delete", "key": key }))?;
        }
        let found = cache(&one, "capabilities", &json!({ "call": "get", "key": key }))?;
        ensure!(found["ok"] == "mine", "{key:?}: {found}");
    }
    Ok(format!("{} keys, none shared", keys.len()))
}

fn j2(stage: &Stage) -> Seen {
    const ENTRIES: usize = 50;
    let victim = attacker(stage, "j2-victim", &stage.guests.capabilities)?;
    for entry in 0..ENTRIES {
        let set = json!({ "call": "set", "key": format!("entry-{entry}"), "value": "v".repeat(1_000) });
        cache(&victim, "capabilities", &set)?;
    }
    let flood = attacker(stage, "j2", &stage.guests.attacks)?;
    flood.limit(&json!({ "cpu": stage.patient() }))?;
    let rounds = stage.scaled(20, 200);
    for round in 0..rounds {
        let input = json!({ "from": round * 900, "entries": 900 });
        flood.post("attacks", "/cache-flood", &input)?.is("200")?;
    }
    let mut kept = 0;
    for entry in 0..ENTRIES {
        let found = cache(
            &victim,
            "capabilities",
            &json!({ "call": "get", "key": format!("entry-{entry}") }),
        )?;
        kept += usize::from(found["ok"].is_string());
    }
    ensure!(kept * 100 >= ENTRIES * 95, "{kept} of {ENTRIES} entries are left");
    Ok(format!(
        "{} KB written; {kept} of {ENTRIES} entries of another tenant are left",
        rounds * 900
    ))
}

fn j3(stage: &Stage) -> Seen {
    let crowd = stage.scaled(60, 128);
    let tenant = attacker(stage, "j3", &stage.guests.capabilities)?;
    let set = json!({ "call": "set-if-absent", "key": "k", "value": "v" });
    let answers = at_once(crowd, |_| cache(&tenant, "capabilities", &set));
    let answers: Vec<Value> = answers.into_iter().collect::<Result<_>>()?;
    let won = answers.iter().filter(|answer| answer["ok"] == true).count();
    ensure!(won == 1, "{won} of {crowd} stored it: {answers:?}");
    let add = json!({ "call": "increment", "key": "n" });
    at_once(crowd, |_| cache(&tenant, "capabilities", &add))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let sum = cache(&tenant, "capabilities", &json!({ "call": "get", "key": "n" }))?;
    ensure!(sum["ok"].as_str() == Some(&crowd.to_string()), "{sum}");
    Ok(format!("of {crowd} at once one stored it, and all were counted"))
}
