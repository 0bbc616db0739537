//! Generates the parts of manifests for work outside of requests: jobs, schedules, events and
//! subscriptions.

use std::fmt::Write as _;

use crate::chance::Chance;

/// The names of time zones: common ones, ones with unusual rules, and ones that do not exist.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Amsterdam",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Etc/GMT+12",
    "Europe/Atlantis",
    "../../etc/passwd",
];

/// Patterns of topics, most of which are valid.
const PATTERNS: [&str; 12] = [
    "order.created",
    "order.*",
    "order.>",
    "*.created",
    ">",
    "*",
    "a.*.b.>",
    "a-b.c_d.0",
    "a.>.b",
    "a..b",
    "A.b",
    "",
];

/// Jobs, with the schedules, events and subscriptions that use them.
pub fn sections(chance: &mut Chance) -> String {
    let mut text = String::new();
    let jobs: Vec<String> = (0..chance.between(1, 6))
        .map(|index| match chance.odds(1, 20) {
            // A name that another job has.
            true => "job-0".to_owned(),
            false => format!("job-{index}"),
        })
        .collect();
    for name in &jobs {
        text.push_str(&job(chance, name));
    }
    for index in 0..chance.size(8) {
        let job = used(chance, &jobs);
        text.push_str(&schedule(chance, index, &job));
    }
    if chance.odds(1, 2) {
        let patterns: Vec<String> = (0..chance.below(4))
            .map(|_| format!("'{}'", chance.pick(&PATTERNS)))
            .collect();
        let _ = writeln!(text, "[events]\npublish = [{}]", patterns.join(", "));
    }
    for _ in 0..chance.below(4) {
        let (pattern, job) = (chance.pick(&PATTERNS).to_owned(), used(chance, &jobs));
        let _ = writeln!(text, "[[subscribe]]\ntopic = '{pattern}'\njob = '{job}'");
    }
    text
}

/// The name of a job: nearly always one that exists.
fn used(chance: &mut Chance, jobs: &[String]) -> String {
    match chance.odds(1, 20) {
        true => chance.word(),
        false => jobs[chance.below(jobs.len())].clone(),
    }
}

fn job(chance: &mut Chance, name: &str) -> String {
    let mut text = format!("[[job]]\nname = '{name}'\n");
    if chance.odds(1, 2) {
        let _ = writeln!(text, "attempts = {}", chance.size(120));
    }
    if chance.odds(1, 3) {
        let (initial, max) = match chance.odds(4, 5) {
            true => (
                format!("{}ms", chance.size(10_000)),
                format!("{}min", chance.between(1, 10_080)),
            ),
            false => (span(chance), span(chance)),
        };
        let _ = writeln!(text, "backoff = {{ initial = '{initial}', max = '{max}' }}");
    }
    if chance.odds(1, 3) {
        let (limit, ordered) = (chance.size(1_100), chance.odds(1, 2));
        let _ = writeln!(text, "concurrency = {{ limit = {limit}, ordered = {ordered} }}");
    }
    if chance.odds(1, 4) {
        let (cpu, wall) = match chance.odds(4, 5) {
            true => (
                format!("{}ms", chance.between(1, 1_000)),
                format!("{}s", chance.between(1, 60)),
            ),
            false => (span(chance), span(chance)),
        };
        let _ = writeln!(text, "limits = {{ cpu = '{cpu}', wall = '{wall}' }}");
    }
    text
}

fn span(chance: &mut Chance) -> String {
    let unit = chance.pick(&["ms", "s", "s", "min", "h", "d", "w"]).to_owned();
    format!("{}{unit}", chance.size(100_000))
}

fn schedule(chance: &mut Chance, index: usize, job: &str) -> String {
    let mut text = format!(
        "[[schedule]]\nname = 'schedule-{index}'\ncron = '{}'\njob = '{job}'\n",
        cron(chance)
    );
    if chance.odds(2, 3) {
        let _ = writeln!(text, "zone = '{}'", chance.pick(&ZONES));
    }
    match chance.below(4) {
        0 => text.push_str("catch_up = 'once'\n"),
        1 => {
            let _ = writeln!(text, "catch_up = {{ all = {} }}", chance.size(110));
        }
        _ => {}
    }
    if chance.odds(1, 3) {
        text.push_str("overlap = 'queue'\n");
    }
    if chance.odds(1, 4) {
        let _ = writeln!(text, "payload = '{{\"day\": {}}}'", chance.below(100));
    }
    text
}

/// A cron expression: a valid one, one that is never or rarely due, or a broken one.
fn cron(chance: &mut Chance) -> String {
    const ODD: [&str; 24] = [
        "0 0 30 2 *",
        "0 0 29 2 *",
        "0 0 29 2 1#5",
        "0 0 31 4,6,9,11 *",
        "30 2 * 3 0#L",
        "0 0 L * *",
        "0 0 15W * *",
        "0 0 LW * *",
        "* * * * * *",
        "59 59 23 31 12 7",
        "0 0 1 1 * 2999",
        "@daily",
        "@every 1s",
        "*/0 * * * *",
        "0-0/0 * * * *",
        "99999999999999999999 * * * *",
        "-1 * * * *",
        "5-1 * * * *",
        "* * * * MON-SUN",
        "0 0 ? * 5L",
        "",
        "* * * *",
        "* * * * * * * *",
        "\u{661} * * * *",
    ];
    match chance.below(10) {
        0..=5 => {
            let fields = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
            let mut all: Vec<String> = fields
                .iter()
                .map(|(least, most)| field(chance, *least, *most))
                .collect();
            if chance.odds(1, 4) {
                all.insert(0, chance.below(60).to_string());
            }
            all.join(" ")
        }
        6..=8 => chance.pick(&ODD).to_owned(),
        _ => {
            let parts = chance.pick(&["*/1,", "0,", "1-2,", "*"]).to_owned();
            format!("{} * * * *", parts.repeat(chance.size(2_000)))
        }
    }
}

fn field(chance: &mut Chance, least: usize, most: usize) -> String {
    let one = chance.between(least, most);
    match chance.below(6) {
        0..=2 => "*".to_owned(),
        3 => one.to_string(),
        4 => format!("{one}-{}", chance.between(one, most)),
        _ => format!("*/{}", chance.between(1, most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_expressions_have_as_many_fields_as_they_may() {
        let all: Vec<String> = (0..100)
            .map(|number| cron(&mut Chance::of(1, "cron", number)))
            .collect();
        let usual = all
            .iter()
            .filter(|text| [5, 6].contains(&text.split_whitespace().count()));
        assert!((60..100).contains(&usual.count()), "{all:?}");
    }
}
