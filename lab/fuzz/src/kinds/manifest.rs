//! Generates manifests: valid TOML, and TOML that is nearly valid.

use std::fmt::Write as _;

use rig::guest::Recipe;
use serde_json::{Value, json};

use super::{background, with_tenant};
use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::target::{Target, deploy, sound};

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// The limits of an invocation that a manifest may lower, with valid values.
const LIMITS: [(&str, &str); 12] = [
    ("memory", "'32MiB'"),
    ("cpu", "'40ms'"),
    ("wall", "'3s'"),
    ("request_body", "'64KiB'"),
    ("sql_rows", "100"),
    ("sql_time", "'500ms'"),
    ("http_requests", "2"),
    ("log_lines", "3"),
    ("host_calls", "50"),
    ("job_wall", "'3s'"),
    ("job_payload", "'1KiB'"),
    ("jobs_enqueued", "3"),
];

/// Returns a manifest, as the part `manifest`, and migrations.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    let mut text = valid(chance);
    let mut parts = Vec::new();
    if text.contains("[database]") {
        let count = chance.below(4);
        parts.extend((0..count).map(|index| {
            Part::new("migration").text(format!(
                "CREATE TABLE t{index} (id INTEGER PRIMARY KEY, {} TEXT)",
                chance.word()
            ))
        }));
    }
    let manifest = match chance.below(20) {
        0..=12 => Part::new("manifest").text(text),
        13..=15 => {
            for _ in 0..chance.between(1, 3) {
                text = damaged(&text, chance);
            }
            Part::new("manifest").text(text)
        }
        16 | 17 => large(Part::new("manifest").text(text), chance),
        _ => strange(Part::new("manifest").text(text), chance),
    };
    parts.push(manifest);
    parts
}

/// A valid manifest.
fn valid(chance: &mut Chance) -> String {
    let mut text = format!(
        "[plugin]\nname = 'fuzz'\nversion = '{}.{}'\n",
        chance.below(99),
        chance.word()
    );
    if chance.odds(1, 3) {
        // A JSON string is also a TOML string, except for a few control characters.
        let description: String = chance.text(40).chars().filter(|c| !c.is_control()).collect();
        let _ = writeln!(text, "description = {}", json!(description));
    }
    if chance.odds(1, 4) {
        text.push_str("reuse = true\n");
    }
    let routes = chance.size(24);
    for index in 0..routes {
        let _ = write!(text, "{}", route(chance, index));
    }
    if chance.odds(1, 3) {
        text.push_str("[database]\nmigrations = 'migrations'\n");
    }
    if chance.odds(1, 3) {
        let _ = write!(
            text,
            "[http]\nallow = ['https://{}.example', 'http://127.0.0.1:{}']\n",
            chance.word(),
            chance.between(1, 65_535)
        );
    }
    if chance.odds(1, 3) {
        let _ = write!(
            text,
            "[secrets]\nuse = ['{}']\nreveal = ['{}']\n",
            chance.word(),
            chance.word()
        );
    }
    if chance.odds(1, 3) {
        text.push_str(&background::sections(chance));
    }
    if chance.odds(1, 3) {
        let (name, value) = LIMITS[chance.below(LIMITS.len())];
        let _ = write!(text, "[limits]\n{name} = {value}\n");
    }
    text
}

fn route(chance: &mut Chance, index: usize) -> String {
    let mut path = format!("/r{index}");
    let segments = chance.below(4);
    for at in 0..segments {
        let segment = match chance.below(4) {
            0 => format!("{{p{at}}}"),
            1 => format!("{}.json", chance.word()),
            _ => chance.word(),
        };
        let _ = write!(path, "/{segment}");
    }
    if chance.odds(1, 5) {
        path.push_str("/{*rest}");
    }
    let auth = match chance.odds(3, 4) {
        true => "'public'".to_owned(),
        false => format!("['api-key']\nscopes = ['{}:read']", chance.word()),
    };
    let rate = match chance.odds(1, 5) {
        true => format!(
            "rate = '{}/{}'\n",
            chance.between(1, 5_000),
            chance.pick(&["s", "min", "h"])
        ),
        false => String::new(),
    };
    let method = chance.pick(&METHODS);
    format!("[[route]]\nmethod = '{method}'\npath = '{path}'\nauth = {auth}\n{rate}")
}

/// The text with one fault.
fn damaged(text: &str, chance: &mut Chance) -> String {
    const ODD: [&str; 22] = [
        "[",
        "]]",
        "{",
        "}",
        "'",
        "\"",
        "\"\"\"",
        "=",
        ".",
        "#",
        "0x",
        "inf",
        "-nan",
        "1e999",
        "99999999999999999999",
        "2020-02-30",
        "a.b.c = 1",
        "[plugin]",
        "\\u{110000}",
        "auth = []",
        "{*x}/{*y}",
        "path = '/{a}{b}'",
    ];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = chance.below(lines.len());
    let line = lines[at].clone();
    match chance.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, line),
        2 => {
            let other = chance.below(lines.len());
            lines.swap(at, other);
        }
        3 => {
            let cut = line.floor_char_boundary(chance.below(line.len() + 1));
            lines[at] = format!("{}{}{}", &line[..cut], chance.pick(&ODD), &line[cut..]);
        }
        4 => lines[at] = line.replace('\'', &format!("{:?}", chance.text(5))),
        _ => {
            let value = super::value::value(chance, 2);
            lines[at] = match line.split_once('=') {
                Some((name, _)) => format!("{name}= {value}"),
                None => format!("{} = {value}", chance.word()),
            };
        }
    }
    lines.join("\n") + "\n"
}

/// The manifest with a large number of one element.
fn large(part: Part, chance: &mut Chance) -> Part {
    let count = chance.size(20_000);
    match chance.below(12) {
        0 => {
            let depth = chance.between(2, 80);
            let name = format!("a{}", ".a".repeat(depth));
            part.times(count, format!("[x.b{{i}}.{name}]\n"))
        }
        1 => part.times(
            count,
            "[[route]]\nmethod = 'GET'\npath = '/many/{i}'\nauth = 'public'\n",
        ),
        2 => part
            .text("[x]\ny = ")
            .times(count, "[")
            .times(count, "]")
            .text("\n"),
        3 => part
            .text("[x]\ny = ")
            .times(count, "{ a = ")
            .text("1")
            .times(count, " }")
            .text("\n"),
        4 => part.text("[x]\n").times(count, "k{i} = {i}\n"),
        5 => part.text("[x]\n").times(count, "a.").text("b = 1\n"),
        6 => part.text("[x]\ny = [").times(count, "{i}, ").text("]\n"),
        7 => part.times(count, "# a comment\n"),
        8 => part.times(count, "[[job]]\nname = 'many-{i}'\n"),
        9 => part.text("[[job]]\nname = 'many'\n").times(
            count,
            "[[schedule]]\nname = 'many-{i}'\ncron = '0 0 29 2 *'\njob = 'many'\n",
        ),
        10 => part
            .text("[[job]]\nname = 'many'\n")
            .times(count, "[[subscribe]]\ntopic = 'many.{i}.>'\njob = 'many'\n"),
        _ => part.text("[x]\ny = '''").times(count, "line {i}\n").text("'''\n"),
    }
}

/// The manifest with routes that are difficult to distinguish.
fn strange(part: Part, chance: &mut Chance) -> Part {
    let count = chance.between(1, 120);
    let depth = chance.between(1, 60);
    let route = |path: String| format!("[[route]]\nmethod = 'GET'\npath = '{path}'\nauth = 'public'\n");
    match chance.below(3) {
        0 => part.times(count, route("/{p}/s{i}".to_owned())),
        1 => part.times(count, route(format!("/x{{i}}{}", "/deep".repeat(depth)))),
        _ => part.times(count, route("/über/{i}/日本".to_owned())),
    }
}

/// Uploads it with the smallest guest, activates it, sends requests to its first routes and lists
/// its schedules.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    let manifest: String = named(parts, "manifest").map(Part::to_text).collect();
    let migrations: Vec<String> = named(parts, "migration").map(Part::to_text).collect();
    let migrations: Vec<&str> = migrations.iter().map(String::as_str).collect();
    let guest = Recipe::from_bytes("fuzz", target.guests().tiny_with_jobs.clone())
        .database(&migrations)
        .manifest(&manifest)
        .guest();
    with_tenant(target, |tenant| {
        if !deploy(tenant, "fuzz", &guest.component, &grants(&manifest))? {
            return Ok(false);
        }
        for (method, path) in routes(&manifest).into_iter().take(3) {
            let path = format!("/{}/fuzz{path}", tenant.name);
            sound(target.public().send(&method, &path, None), &path)?;
        }
        let schedules = tenant.path("/schedules");
        sound(target.admin().get(&schedules), &schedules)?;
        Ok(true)
    })
}

/// All requests of a manifest as grants, parsed from the generated lines.
fn grants(manifest: &str) -> Value {
    let list = |name: &str| -> Value {
        let line = manifest.lines().find_map(|line| line.strip_prefix(name));
        let text = line.unwrap_or_default().replace('\'', "\"");
        serde_json::from_str(&text).unwrap_or_else(|_| json!([]))
    };
    json!({
        "database": manifest.contains("[database]"),
        "http": list("allow = "),
        "secrets": { "use": list("use = "), "reveal": list("reveal = ") },
        "events": list("publish = "),
    })
}

/// Methods and paths of routes, parsed from the generated lines, with captures filled in.
fn routes(manifest: &str) -> Vec<(String, String)> {
    let value = |line: &str| line.split('\'').nth(1).map(str::to_owned);
    let mut method = "GET".to_owned();
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with("method") {
            method = value(line)
                .filter(|value| METHODS.contains(&value.as_str()))
                .unwrap_or_default();
        } else if let Some(path) = value(line).filter(|_| line.starts_with("path"))
            && !method.is_empty()
        {
            // The path is printable and has no blanks, so it is valid in a request line.
            let filled = path.replace("{*rest}", "x/y").replace(['{', '}'], "");
            if filled.starts_with('/') && filled.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
                found.push((method.clone(), filled));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_back() {
        let text = "[[route]]\nmethod = 'PUT'\npath = '/a/{id}/{*rest}'\nauth = 'public'\n";
        assert_eq!(routes(text), [("PUT".to_owned(), "/a/id/x/y".to_owned())]);
    }

    #[test]
    fn most_manifests_are_damaged_or_valid_and_few_are_large() {
        let large = (0..200).filter(|number| {
            let parts = generate(&mut Chance::of(1, "manifests", *number));
            parts.iter().any(|part| part.runs.len() > 1)
        });
        let count = large.count();
        assert!((10..80).contains(&count), "{count}");
    }
}
