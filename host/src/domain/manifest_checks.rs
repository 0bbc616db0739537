//! Refuses uploaded manifests that cannot work: nobody could grant, set, call or run what they ask
//! for. Stored versions are not checked.

use std::collections::BTreeSet;

use serde_json::Value;

use super::api_key::is_scope;
use super::limits::{LimitOverrides, Limits};
use super::manifest::{Manifest, ManifestError, Route, meaning};
use super::path::is_reserved;
use super::secret::{SecretOrigins, is_plain_name};
use super::units::{ByteSize, as_u64};

/// The most origins, names of secrets, or topics that a tenant can grant one plugin.
pub const MAX_GRANTED: usize = 100;

/// A page of WebAssembly memory, the least that an instance needs.
const PAGE: ByteSize = ByteSize::kib(64);

/// A limit that a manifest sets above the effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceededLimit {
    /// The name of the limit.
    pub name: String,
    /// The value in the manifest.
    pub asked: String,
    /// The effective value.
    pub most: String,
}

/// The limits that `asked` sets above `most`. They have no effect, since a manifest only lowers.
fn exceeded(asked: &LimitOverrides, most: &Limits) -> Vec<ExceededLimit> {
    let held = serde_json::to_value(most.lowered_by(asked)).unwrap_or_default();
    let Ok(Value::Object(asked)) = serde_json::to_value(asked) else {
        return Vec::new();
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    asked
        .iter()
        .filter(|(name, asked)| held[name.as_str()] != **asked)
        .map(|(name, asked)| ExceededLimit {
            name: name.clone(),
            asked: text(asked),
            most: text(&held[name.as_str()]),
        })
        .collect()
}

/// All limits of a manifest that are above `most`, named by their keys: `limits.memory`.
pub fn exceeded_limits(manifest: &Manifest, most: &Limits) -> Vec<ExceededLimit> {
    let of_place = |(place, asked): (String, LimitOverrides), most: &Limits| {
        let named = move |limit: ExceededLimit| ExceededLimit {
            name: format!("{place}.{}", limit.name),
            ..limit
        };
        exceeded(&asked, most).into_iter().map(named)
    };
    let of_jobs = most.for_jobs();
    let limits = manifest.all_limits().into_iter();
    let job_limits = manifest.job_limits().into_iter();
    let limits = limits.flat_map(|placed| of_place(placed, most));
    limits
        .chain(job_limits.flat_map(|placed| of_place(placed, &of_jobs)))
        .collect()
}

/// Checks the values of a well-formed manifest.
pub fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    for (index, route) in manifest.routes.iter().enumerate() {
        check_route(route).map_err(|(field, problem)| meaning(format!("route[{index}].{field}"), problem))?;
    }
    for (index, function) in manifest.functions.iter().enumerate() {
        check_scopes(&function.scopes)
            .map_err(|problem| meaning(format!("function[{index}].scopes"), problem))?;
    }
    check_grants(manifest)?;
    check_limits(manifest)
}

fn check_route(route: &Route) -> Result<(), (&'static str, String)> {
    if let Some(mark) = route.path.chars().find(|c| matches!(c, '?' | '#')) {
        let problem =
            format!("`{mark}` ends the path of a URL, so no request matches; write it as an escape");
        return Err(("path", problem));
    }
    // A pattern that cannot be read has been refused before.
    if route.pattern().is_ok_and(|pattern| is_reserved(&pattern)) {
        let problem = "paths below `/-/` belong to the host; choose another first segment".to_owned();
        return Err(("path", problem));
    }
    check_scopes(&route.scopes).map_err(|problem| ("scopes", problem))?;
    let method = route.method.as_str();
    if route.request.is_some() && matches!(method, "GET" | "HEAD") {
        let problem = format!("a {method} request has no body that a schema could describe");
        return Err(("request", problem));
    }
    if route.response.is_some() && method == "HEAD" {
        let problem = "the response to HEAD has no body that a schema could describe";
        return Err(("response", problem.to_owned()));
    }
    Ok(())
}

fn check_scopes(scopes: &BTreeSet<String>) -> Result<(), String> {
    match scopes.iter().find(|scope| !is_scope(scope)) {
        None => Ok(()),
        Some(scope) => Err(format!(
            "no key can have the scope `{scope}`: a scope has 1 to 100 visible ASCII characters"
        )),
    }
}

fn check_grants(manifest: &Manifest) -> Result<(), ManifestError> {
    let secrets = &manifest.secrets;
    let origins = |(_, origins): (&String, &SecretOrigins)| origins.count();
    for (place, count) in [
        ("http.allow", manifest.http.allow.len()),
        ("secrets.use", secrets.usable.iter().len()),
        (
            "secrets.use",
            secrets.usable.iter().map(origins).max().unwrap_or_default(),
        ),
        ("webhook", webhook_secrets(manifest)),
        ("secrets.reveal", secrets.reveal.len()),
        ("events.publish", manifest.events.publish.len()),
    ] {
        if count > MAX_GRANTED {
            let problem = format!("{count} are more than the {MAX_GRANTED} that a tenant can grant a plugin");
            return Err(meaning(place, problem));
        }
    }
    let used = secrets.usable.iter().map(|(name, _)| ("secrets.use", name));
    let revealed = secrets.reveal.iter().map(|name| ("secrets.reveal", name));
    for (place, name) in used.chain(revealed) {
        if !is_plain_name(name) {
            let problem = format!(
                "no secret can be named `{name}`: a name has 1 to 128 letters, digits, `_`, `-` and `.`"
            );
            return Err(meaning(place, problem));
        }
    }
    Ok(())
}

/// The number of secrets by name, with those of webhooks.
fn webhook_secrets(manifest: &Manifest) -> usize {
    let used = manifest.secrets.usable.iter().map(|(name, _)| name);
    let checked = manifest.webhooks.iter().flat_map(|webhook| &webhook.secrets);
    used.chain(checked).collect::<BTreeSet<_>>().len()
}

fn check_limits(manifest: &Manifest) -> Result<(), ManifestError> {
    for (place, limits) in manifest.all_limits().into_iter().chain(manifest.job_limits()) {
        if let Some(memory) = limits.memory.filter(|memory| *memory < PAGE) {
            let problem = format!("no instance fits into {memory}: a page of WebAssembly memory has {PAGE}");
            return Err(meaning(format!("{place}.memory"), problem));
        }
        let times = ["cpu", "wall", "job_cpu", "job_wall"];
        if let Some(name) = times.into_iter().find(|name| is_zero(&limits, name)) {
            let problem = "0 is not possible here: no plugin runs without it";
            return Err(meaning(format!("{place}.{name}"), problem));
        }
    }
    let limits = &manifest.limits;
    let routes = || manifest.routes.iter();
    let has_functions = !manifest.functions.is_empty();
    let needs: [(bool, &str, &[&str]); 6] = [
        (
            has_functions,
            "a function has an input and an output",
            &["request_body", "response_body"],
        ),
        (
            manifest.database.is_some(),
            "the manifest has [database], which needs it",
            &["host_calls", "sql_statements", "sql_time"],
        ),
        (
            !manifest.http.allow.is_empty(),
            "the manifest has origins in [http] allow, which need it",
            &[
                "host_calls",
                "http_requests",
                "http_concurrency",
                "http_connect",
                "http_first_byte",
                "http_total",
            ],
        ),
        (
            !manifest.events.publish.is_empty(),
            "the manifest has topics in [events] publish, which need it",
            &["host_calls", "jobs_enqueued"],
        ),
        (
            routes().any(|route| route.request.is_some()),
            "a route has a schema for the body of a request",
            &["request_body"],
        ),
        (
            routes().any(|route| route.response.is_some()),
            "a route has a schema for the body of a response",
            &["response_body"],
        ),
    ];
    for (_, why, names) in needs.iter().filter(|(asks, ..)| *asks) {
        if let Some(name) = names.iter().find(|name| is_zero(limits, name)) {
            let problem = format!("0 is not possible here: {why}");
            return Err(meaning(format!("limits.{name}"), problem));
        }
    }
    check_payloads(manifest)
}

/// Refuses a payload of a schedule that is above the manifest's own limit of payloads.
fn check_payloads(manifest: &Manifest) -> Result<(), ManifestError> {
    let Some(most) = manifest.limits.job_payload else {
        return Ok(());
    };
    for (index, schedule) in manifest.schedules.iter().enumerate() {
        let size = ByteSize(as_u64(schedule.payload.len()));
        if size > most {
            let problem =
                format!("{size} are more than limits.job_payload of this manifest, which is {most}");
            return Err(meaning(format!("schedule[{index}].payload"), problem));
        }
    }
    Ok(())
}

/// Whether the manifest sets a limit to zero: `0`, `0B` or `0ms`.
fn is_zero(limits: &LimitOverrides, name: &str) -> bool {
    let values = serde_json::to_value(limits).unwrap_or_default();
    match values.get(name) {
        Some(Value::Number(number)) => number.as_u64() == Some(0),
        Some(Value::String(text)) => text.starts_with('0'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::units::Span;

    fn refusal(manifest: &str) -> String {
        let text = format!("[plugin]\nname = 'p'\nversion = '1'\n{manifest}");
        Manifest::parse(&text).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn what_can_never_happen_is_refused_with_its_place() {
        let route = |method: &str, path: &str, more: &str| {
            format!("[[route]]\nmethod = '{method}'\npath = '{path}'\nauth = ['api-key']\n{more}\n")
        };
        for (manifest, wanted) in [
            (route("GET", "/a?b", ""), "route[0].path: `?` ends the path"),
            (route("GET", "/a#b", ""), "route[0].path: `#` ends the path"),
            (
                route("GET", "/", "scopes = ['a b']"),
                "route[0].scopes: no key can have the scope `a b`",
            ),
            (
                route("GET", "/", "scopes = ['']"),
                "route[0].scopes: no key can have the scope ``",
            ),
            (
                route("GET", "/", "request = 's.json'"),
                "route[0].request: a GET request has no body",
            ),
            (
                route("HEAD", "/", "response = 's.json'"),
                "route[0].response: the response to HEAD has no body",
            ),
            (
                route("GET", "/-/x", ""),
                "route[0].path: paths below `/-/` belong to the host",
            ),
            (
                route("GET", "/%2D/{*rest}", ""),
                "route[0].path: paths below `/-/` belong to the host",
            ),
            (
                "[secrets]\nuse = ['my key']".to_owned(),
                "secrets.use: no secret can be named `my key`",
            ),
            (
                "[secrets]\nreveal = ['']".to_owned(),
                "secrets.reveal: no secret can be named ``",
            ),
            (
                format!(
                    "[http]\nallow = {:?}",
                    (0..101)
                        .map(|n| format!("https://h{n}.example"))
                        .collect::<Vec<_>>()
                ),
                "http.allow: 101 are more than the 100",
            ),
            (
                "[limits]\nmemory = '0B'".to_owned(),
                "limits.memory: no instance fits into 0B",
            ),
            (
                "[limits]\nmemory = '63KiB'".to_owned(),
                "limits.memory: no instance fits into 63KiB",
            ),
            (
                "[[job]]\nname = 'j'\nlimits = { wall = '0s' }".to_owned(),
                "job[0].limits.wall: 0 is not possible here: no plugin runs without it",
            ),
            (
                "[limits]\njob_cpu = '0ms'".to_owned(),
                "limits.job_cpu: 0 is not possible here",
            ),
            (
                "[events]\npublish = ['a.b']\n[limits]\njobs_enqueued = 0".to_owned(),
                "limits.jobs_enqueued: 0 is not possible here: the manifest has topics in [events] publish",
            ),
            (
                format!(
                    "[events]\npublish = {:?}",
                    (0..101).map(|n| format!("t{n}")).collect::<Vec<_>>()
                ),
                "events.publish: 101 are more than the 100",
            ),
            (
                "[[job]]\nname = 'j'\n[[schedule]]\nname = 's'\ncron = '0 2 * * *'\njob = 'j'\npayload = '123'\n\
                 [limits]\njob_payload = '2B'"
                    .to_owned(),
                "schedule[0].payload: 3B are more than limits.job_payload of this manifest, which is 2B",
            ),
            (
                "[limits]\ncpu = '0s'".to_owned(),
                "limits.cpu: 0 is not possible here: no plugin runs without it",
            ),
            (
                "[database]\n[limits]\nsql_statements = 0".to_owned(),
                "limits.sql_statements: 0 is not possible here: the manifest has [database], which needs it",
            ),
            (
                "[http]\nallow = ['https://a.example']\n[limits]\nhttp_total = '0ms'".to_owned(),
                "limits.http_total",
            ),
            (
                route("POST", "/", "request = 's.json'") + "[limits]\nrequest_body = '0B'",
                "limits.request_body",
            ),
            (
                route("POST", "/", "response = 's.json'") + "[limits]\nresponse_body = '0B'",
                "limits.response_body",
            ),
        ] {
            let refusal = refusal(&manifest);
            assert!(refusal.starts_with("plugin.toml: "), "{manifest}: {refusal}");
            assert!(refusal.contains(wanted), "{refusal} does not contain {wanted}");
        }
    }

    #[test]
    fn what_is_only_little_is_accepted() {
        for manifest in [
            "[[route]]\nmethod = 'GET'\npath = '/a%3Fb'\nauth = 'public'\nresponse = 's.json'",
            "[[route]]\nmethod = 'DELETE'\npath = '/'\nauth = 'public'\nrequest = 's.json'",
            "[[route]]\nmethod = 'GET'\npath = '/'\nauth = ['api-key']\nscopes = ['*', 'a:b']",
            "[secrets]\nuse = ['a.b-c_D']\nreveal = ['a.b-c_D']",
            "[limits]\nmemory = '64KiB'\ncpu = '1ms'\nwall = '1ms'",
            "[limits]\nsql_statements = 0\nhttp_requests = 0\nrequest_body = '0B'\nlog_lines = 0",
            "[limits]\njobs_enqueued = 0\njob_payload = '0B'\nsteps = 0",
        ] {
            assert_eq!(refusal(manifest), "", "{manifest}");
        }
    }

    #[test]
    fn only_limits_above_what_holds_are_named() {
        let asked = LimitOverrides {
            memory: Some(ByteSize::mib(64)),
            cpu: Some(Span::s(2)),
            sql_rows: Some(1),
            http_requests: Some(65),
            ..LimitOverrides::default()
        };
        let found = exceeded(&asked, &Limits::ceiling());
        let told: Vec<_> = found
            .iter()
            .map(|limit| (limit.name.as_str(), limit.asked.as_str(), limit.most.as_str()))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.contains(&("cpu", "2s", "1s")), "{told:?}");
        assert!(told.contains(&("http_requests", "65", "64")), "{told:?}");
    }

    #[test]
    fn limits_of_jobs_are_compared_with_those_of_jobs() {
        let manifest = "[plugin]\nname = 'p'\nversion = '1'\n[[job]]\nname = 'j'\n\
                        limits = { cpu = '2s', wall = '20min' }";
        let manifest = Manifest::parse(manifest).unwrap();
        let found = exceeded_limits(&manifest, &Limits::ceiling());
        let [wall] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (wall.name.as_str(), wall.asked.as_str(), wall.most.as_str()),
            ("job[0].limits.wall", "20min", "15min")
        );
    }

    #[test]
    fn a_stored_manifest_is_not_checked() {
        let stored = "[plugin]\nname = 'p'\nversion = '1'\n[limits]\nmemory = '0B'\n";
        assert!(Manifest::parse(stored).is_err());
        assert!(Manifest::stored(stored).is_ok());
    }
}
