//! Tests of cron expressions, above all where clocks change.

use super::*;

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).unwrap()
}

fn at(text: &str) -> Timestamp {
    serde_json::from_value(text.into()).unwrap()
}

/// The next `count` times after `start` in UTC, to the minute or second.
fn next(expression: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
    let times = cron(expression, zone).upcoming(at(start), count);
    times
        .iter()
        .map(|time| time.to_string().replace(":00.000Z", "Z").replace(".000Z", "Z"))
        .collect()
}

#[test]
fn an_expression_has_five_fields_or_six_with_seconds() {
    assert_eq!(
        next("30 2 * * *", "UTC", "2026-01-01T02:30:00Z", 2),
        ["2026-01-02T02:30Z", "2026-01-03T02:30Z"]
    );
    assert_eq!(
        next("*/20 * * * * *", "UTC", "2026-01-01T00:00:00Z", 3),
        [
            "2026-01-01T00:00:20Z",
            "2026-01-01T00:00:40Z",
            "2026-01-01T00:01Z"
        ]
    );
    assert_eq!(
        next("0 9 * * MON-FRI", "UTC", "2026-01-02T12:00:00Z", 1),
        ["2026-01-05T09:00Z"]
    );
    assert_eq!(
        next("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", 1),
        ["2028-02-29T00:00Z"]
    );
    assert_eq!(
        next("@daily", "UTC", "2026-01-01T00:00:00Z", 1),
        ["2026-01-02T00:00Z"]
    );
}

#[test]
fn part_of_a_second_does_not_skip_or_repeat_a_time() {
    let cron = cron("0 * * * *", "UTC");
    assert_eq!(
        cron.after(at("2026-01-01T00:59:59.999Z")),
        Some(at("2026-01-01T01:00:00Z"))
    );
    assert_eq!(
        cron.after(at("2026-01-01T01:00:00.001Z")),
        Some(at("2026-01-01T02:00:00Z"))
    );
}

#[test]
fn what_is_wrong_is_named() {
    let error = |expression: &str, zone: &str| Cron::parse(expression, zone).unwrap_err();
    for (expression, wanted) in [
        ("61 * * * *", "`61` is no minute; write minute, hour"),
        ("* 24 * * *", "`24` is no hour"),
        ("* * 0 * *", "`0` is no day of the month"),
        ("* * * 13 *", "`13` is no month"),
        ("* * * * 8", "`8` is no day of the week"),
        ("60 * * * * *", "`60` is no second"),
        ("x * * * *", "`x` is no minute"),
        ("*/0 * * * *", "`*/0` is no minute"),
        ("5-1 * * * *", "`5-1` is no minute"),
        ("* * * *", "`* * * *` has 4 fields"),
        ("0 0 1 1 * * 2030", "has 7 fields"),
        ("", "`` has 0 fields"),
        ("@reboot", "`@reboot` has 1 fields"),
        ("0 0 30 2 *", "`0 0 30 2 *` names a time that never comes"),
        ("* * * * *\n", "is no cron expression"),
        ("ä * * * *", "is no cron expression"),
    ] {
        let error = error(expression, "UTC");
        assert!(
            error.to_string().contains(wanted),
            "{error} does not contain {wanted}"
        );
        assert_eq!(error.key(), "cron");
    }
    assert_eq!(error(&"1,".repeat(101), "UTC"), CronError::TooLong(202));
    for zone in [
        "",
        "Europe/Atlantis",
        "localtime",
        "right/UTC",
        "Etc/Unknown",
        "../UTC",
        "+02:00",
    ] {
        let error = error("* * * * *", zone);
        assert_eq!(error.key(), "zone");
        assert!(
            error
                .to_string()
                .starts_with(&format!("no time zone is named `{zone}`")),
            "{error}"
        );
    }
    assert!(Cron::parse("* * * * *", "europe/amsterdam").is_ok());
}

#[test]
fn zones_are_known_without_a_database_of_the_system() {
    let bundled = TimeZoneDatabase::bundled();
    for zone in [
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "UTC",
    ] {
        assert!(bundled.get(zone).is_ok(), "{zone}");
    }
}

#[test]
fn in_london_a_fixed_time_comes_once_a_day_all_year() {
    // The clocks go from 01:00 to 02:00 on 2026-03-29, and back from 02:00 to 01:00 on 2026-10-25.
    assert_eq!(
        next("0 0 * * *", "Europe/London", "2026-03-28T12:00:00Z", 3),
        ["2026-03-29T00:00Z", "2026-03-29T23:00Z", "2026-03-30T23:00Z"]
    );
    // 01:30 does not exist on that day: it comes at the end of the gap.
    assert_eq!(
        next("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]
    );
    // 01:30 comes twice on that day: the first one counts.
    assert_eq!(
        next("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]
    );
    // From within the second 01:xx, the first one does not come again.
    assert_eq!(
        next("30 1 * * *", "Europe/London", "2026-10-25T01:10:00Z", 1),
        ["2026-10-26T01:30Z"]
    );
}

#[test]
fn in_new_york_an_interval_goes_on_while_clocks_change() {
    // The clocks go from 02:00 to 03:00 at 07:00 UTC on 2026-03-08.
    assert_eq!(
        next("*/30 * * * *", "America/New_York", "2026-03-08T06:29:00Z", 3),
        ["2026-03-08T06:30Z", "2026-03-08T07:00Z", "2026-03-08T07:30Z"]
    );
    // The clocks go back from 02:00 to 01:00 at 06:00 UTC on 2026-11-01.
    assert_eq!(
        next("*/30 * * * *", "America/New_York", "2026-11-01T04:59:00Z", 5),
        [
            "2026-11-01T05:00Z",
            "2026-11-01T05:30Z",
            "2026-11-01T06:00Z",
            "2026-11-01T06:30Z",
            "2026-11-01T07:00Z"
        ]
    );
    assert_eq!(
        next("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]
    );
}

#[test]
fn on_lord_howe_the_clocks_change_by_half_an_hour() {
    // 02:00 becomes 02:30 at 15:30 UTC on 2026-10-03.
    assert_eq!(
        next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["2026-10-03T15:30Z", "2026-10-04T15:15Z"]
    );
    assert_eq!(
        next("*/15 * * * *", "Australia/Lord_Howe", "2026-10-03T15:14:00Z", 3),
        ["2026-10-03T15:15Z", "2026-10-03T15:30Z", "2026-10-03T15:45Z"]
    );
    // 02:00 becomes 01:30 at 15:00 UTC on 2026-04-04.
    assert_eq!(
        next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
        ["2026-04-04T14:45Z", "2026-04-05T15:15Z"]
    );
}

#[test]
fn in_apia_a_day_was_lost_and_the_next_ones_come() {
    // After 2011-12-29 came 2011-12-31, at 10:00 UTC.
    let times = next("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
    assert_eq!(
        times,
        ["2011-12-29T22:00Z", "2011-12-30T22:00Z", "2011-12-31T22:00Z"]
    );
    let times = next("0 0 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
    assert_eq!(
        times,
        ["2011-12-29T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"]
    );
    let times = next("0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", 1);
    assert_eq!(times, ["2012-12-29T22:00Z"]);
    assert_eq!(
        next("0 * * * *", "Pacific/Apia", "2011-12-30T08:30:00Z", 3),
        ["2011-12-30T09:00Z", "2011-12-30T10:00Z", "2011-12-30T11:00Z"]
    );
}

#[test]
fn times_only_go_forward_whatever_the_clocks_do() {
    for zone in [
        "UTC",
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Africa/Casablanca",
    ] {
        for expression in [
            "*/20 * * * *",
            "0 * * * *",
            "30 1,2 * * *",
            "*/10 2 * * *",
            "0 0 * * *",
            "15 0-3 * * *",
            "30 */10 1-3 * * *",
        ] {
            let cron = cron(expression, zone);
            for start in [
                "2026-03-01T00:00:00Z",
                "2026-09-20T00:00:00Z",
                "2011-12-25T00:00:00Z",
            ] {
                let start = at(start);
                let end = start.saturating_add(DAY * 45);
                let mut last = start;
                let mut count = 0;
                while let Some(time) = cron.after(last) {
                    assert!(time > last, "{expression} in {zone}: {time} after {last}");
                    // What is found does not depend on where the search begins.
                    let before = Timestamp(time.0 - 1);
                    assert_eq!(cron.after(before), Some(time), "{expression} in {zone}");
                    if time > end {
                        break;
                    }
                    assert!(
                        time.since(last) <= DAY * 2,
                        "{expression} in {zone}: {time} after {last}"
                    );
                    (last, count) = (time, count + 1);
                }
                assert!(count >= 44, "{expression} in {zone}: {count} times");
            }
        }
    }
}

#[test]
fn the_last_time_of_a_period_is_found_without_a_walk() {
    let (from, until) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00.500Z"));
    let last = |expression: &str| cron(expression, "Europe/London").last_within(from, until);
    assert_eq!(last("* * * * * *"), Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(last("30 2 * * *"), Some(at("2025-12-31T02:30:00Z")));
    assert_eq!(last("0 0 1 7 *"), Some(at("2025-06-30T23:00:00Z")));
    assert_eq!(last("0 0 29 2 *"), None);
    let hourly = cron("0 * * * *", "UTC");
    let time = at("2026-01-01T05:00:00Z");
    assert_eq!(hourly.last_within(time, time), None);
    assert_eq!(hourly.last_within(Timestamp(time.0 - 1), time), Some(time));
}

#[test]
fn the_shortest_interval_is_found_among_irregular_times() {
    let now = at("2026-01-01T00:00:00Z");
    let shortest = |expression: &str| cron(expression, "UTC").shortest_interval(now);
    let minutes = |count: u64| Some(Duration::from_secs(count * 60));
    assert_eq!(shortest("*/5 * * * *"), minutes(5));
    assert_eq!(shortest("0,59 * * * *"), minutes(1));
    assert_eq!(shortest("0 0,12 1 6 *"), minutes(12 * 60));
    assert_eq!(shortest("* * * * * *"), Some(Duration::from_secs(1)));
    assert_eq!(shortest("0 0 29 2 *"), None);
}
