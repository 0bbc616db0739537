//! Conformance tests of invocations, usage and log lines.

use http::Method;

use super::{change, name, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ApiKeyId, InvocationId, JobId, TenantId, VersionDigest};
use crate::domain::invocation::{Blame, InvocationRecord, Trigger, Triggered, Usage, UsageSum};
use crate::domain::job::JobOutcome;
use crate::domain::log_line::{Level, LogLine};
use crate::domain::principal::PrincipalId;
use crate::domain::problem::Code;
use crate::storage::{
    CALLERS_A_DAY, CallFilter, Caller, Calls, CountedCalls, Entry, InvocationFilter, Kept, LogFilter,
    LogPosition, Page, Repository, Totals, WrittenAfter,
};

const HOUR: i64 = 3_600_000;

/// A `GET` of a route.
fn get(route: &str) -> Triggered {
    Triggered::Http {
        method: Method::GET,
        route: route.into(),
    }
}

/// An invocation that logged one line per given level.
pub fn entry(tenant: TenantId, plugin: &str, at: i64, levels: &[Level]) -> Entry {
    let id = InvocationId::generate();
    let line = |level: &Level| LogLine {
        tenant,
        plugin: name(plugin),
        invocation: id,
        at: Timestamp(at),
        level: *level,
        message: format!("{} at {at}", level.as_str()),
        fields: vec![("key".to_owned(), "value".to_owned())],
    };
    Entry {
        record: InvocationRecord {
            id,
            tenant,
            plugin: name(plugin),
            version: VersionDigest::of(b"1"),
            triggered: get("/orders/{id}"),
            status: 200,
            code: None,
            blame: None,
            principal: Some(PrincipalId::ApiKey(ApiKeyId::generate())),
            started_at: Timestamp(at),
            usage: Usage {
                cpu_us: 10,
                sql_rows: 3,
                ..Default::default()
            },
        },
        log_lines: levels.iter().map(line).collect(),
    }
}

pub async fn an_invocation_is_counted_once(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let good = entry(acme, "orders", 10, &[Level::Info]);
    let mut bad = entry(acme, "orders", HOUR + 10, &[]);
    bad.record.code = Some(Code::PluginTrapped.as_str().into());
    bad.record.blame = Some(Blame::Guest);
    let stranger = entry(TenantId::generate(), "orders", 10, &[Level::Info]);
    let batch = [good.clone(), stranger.clone(), bad.clone()];
    repository.record(&batch).await.unwrap();
    repository.record(&batch).await.unwrap();

    let all = InvocationFilter::default();
    let found = repository.invocations(acme, &all, Page::first(9)).await.unwrap();
    assert_eq!(found, [bad.record.clone(), good.record.clone()]);
    let older = repository
        .invocations(acme, &all, Page::after(bad.record.id, 9))
        .await
        .unwrap();
    assert_eq!(older, std::slice::from_ref(&good.record));
    let failed = InvocationFilter {
        failed: true,
        plugin: Some(name("orders")),
        since: Some(Timestamp(11)),
        ..InvocationFilter::default()
    };
    let found = repository
        .invocations(acme, &failed, Page::first(9))
        .await
        .unwrap();
    assert_eq!(found, [bad.record.clone()]);
    assert_eq!(
        repository.invocation(acme, good.record.id).await.unwrap(),
        Some(good.record)
    );
    assert_eq!(
        repository.invocation(acme, stranger.record.id).await.unwrap(),
        None
    );

    let usage = async |from, to| {
        let sums = repository
            .usage(acme, Timestamp(from), Timestamp(to))
            .await
            .unwrap();
        sums.iter()
            .map(|sum| (sum.invocations, sum.failures, sum.cpu_us, sum.sql_rows))
            .collect::<Vec<_>>()
    };
    assert_eq!(usage(0, 2 * HOUR).await, [(2, 1, 20, 6)]);
    assert_eq!(usage(0, HOUR).await, [(1, 0, 10, 3)]);
    assert_eq!(usage(2 * HOUR, 3 * HOUR).await, []);

    let mut unrecorded = Totals::default();
    unrecorded.add(&stranger.record);
    unrecorded.add(&bad.record);
    unrecorded.add(&bad.record);
    repository.add_totals(&unrecorded).await.unwrap();
    assert_eq!(usage(HOUR, 2 * HOUR).await, [(3, 3, 30, 9)]);
}

pub async fn server_errors_of_a_plugin_are_failures_as_problems_of_the_host_are(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let ended = |status, code: Option<Code>| {
        let mut entry = entry(acme, "orders", 10, &[]);
        entry.record.status = status;
        entry.record.code = code.map(|code| code.as_str().into());
        entry
    };
    let entries = [
        ended(200, None),
        ended(404, None),
        ended(499, None),
        ended(400, Some(Code::ValidationFailed)),
        ended(500, None),
        ended(503, None),
        ended(504, Some(Code::PluginCpu)),
    ];
    // One block has no failures, one has some, and one has only failures.
    for batch in [&entries[..3], &entries[3..5], &entries[5..]] {
        repository.record(batch).await.unwrap();
    }
    let failed = InvocationFilter {
        failed: true,
        ..InvocationFilter::default()
    };
    let found = repository
        .invocations(acme, &failed, Page::first(9))
        .await
        .unwrap();
    let mut statuses: Vec<u16> = found.iter().map(|record| record.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [400, 500, 503, 504]);
    let usage = repository
        .usage(acme, Timestamp(0), Timestamp(HOUR))
        .await
        .unwrap();
    assert_eq!(usage[0].failures, 4);
}

pub async fn what_is_of_a_deleted_tenant_is_left_out(repository: &dyn Repository) {
    let gone = tenant(repository, "gone").await.id;
    let acme = tenant(repository, "acme").await.id;
    let known = entry(acme, "orders", 10, &[Level::Info]);
    repository.record(std::slice::from_ref(&known)).await.unwrap();
    assert!(repository.purge_tenant(gone, &change(3_000)).await.unwrap());
    let theirs = entry(gone, "orders", 20, &[Level::Info]);
    let batch = [known, theirs.clone(), entry(acme, "hello", 30, &[Level::Info])];
    let kept = repository.record(&batch).await.unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), [&acme]);
    assert_eq!(kept[&acme].records, 2);
    assert_eq!(repository.kept(gone).await.unwrap(), Kept::default());
    let usage = repository.usage(acme, Timestamp(0), Timestamp(HOUR)).await;
    let invocations: Vec<u64> = usage.unwrap().iter().map(|sum| sum.invocations).collect();
    assert_eq!(invocations, [1, 1]);
    assert!(repository.record(&[theirs]).await.unwrap().is_empty());
}

pub async fn log_lines_are_filtered_and_paged(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let first = entry(acme, "orders", 10, &[Level::Debug, Level::Error]);
    let second = entry(acme, "hello", 20, &[Level::Warn]);
    repository.record(&[first.clone(), second.clone()]).await.unwrap();
    let read = async |filter: LogFilter, page| repository.log_lines(acme, &filter, page).await.unwrap();
    let messages = async |filter: LogFilter| {
        let lines = read(filter.clone(), Page::first(9)).await;
        assert!(lines.iter().all(|stored| filter.accepts(&stored.line)));
        lines
            .into_iter()
            .map(|stored| stored.line.message)
            .collect::<Vec<_>>()
    };

    let all = read(LogFilter::default(), Page::first(9)).await;
    let lines: Vec<_> = all.iter().map(|stored| stored.line.clone()).collect();
    assert_eq!(
        lines,
        [
            second.log_lines[0].clone(),
            first.log_lines[1].clone(),
            first.log_lines[0].clone()
        ]
    );
    for cut in 0..all.len() {
        let rest = read(LogFilter::default(), Page::after(all[cut].place(), 9)).await;
        assert_eq!(rest, all[cut + 1..]);
    }
    let filter = LogFilter {
        level: Some(Level::Warn),
        ..Default::default()
    };
    assert_eq!(messages(filter).await, ["warn at 20", "error at 10"]);
    let filter = LogFilter {
        plugin: Some(name("orders")),
        ..Default::default()
    };
    assert_eq!(messages(filter).await, ["error at 10", "debug at 10"]);
    let filter = LogFilter {
        invocation: Some(second.record.id),
        ..Default::default()
    };
    assert_eq!(messages(filter).await, ["warn at 20"]);
    let filter = LogFilter {
        since: Some(Timestamp(11)),
        ..Default::default()
    };
    assert_eq!(messages(filter).await, ["warn at 20"]);
}

pub async fn log_lines_are_read_on_in_the_order_in_which_they_were_written(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let seen = entry(acme, "orders", 20, &[Level::Info]);
    repository.record(std::slice::from_ref(&seen)).await.unwrap();
    // Written later, although some lines were logged earlier. The plugins of a batch alternate.
    let batch = [
        entry(acme, "shop", 15, &[Level::Info, Level::Error]),
        entry(acme, "orders", 30, &[Level::Info]),
        entry(other, "orders", 30, &[Level::Info]),
        entry(acme, "shop", 25, &[Level::Info]),
        entry(acme, "shop", 5, &[Level::Info]),
    ];
    repository.record(&batch).await.unwrap();

    let place = LogPosition {
        at: Timestamp(20),
        invocation: seen.record.id,
        position: 0,
    };
    let written = repository.log_line_written(acme, place).await.unwrap().unwrap();
    assert_eq!(repository.log_line_written(other, place).await.unwrap(), None);
    let all = LogFilter::default();
    let after = |written| WrittenAfter {
        written,
        at_least: Some(Timestamp(10)),
    };
    let read_on = async |filter: &LogFilter, after, limit| {
        repository
            .log_lines_written(acme, filter, after, limit)
            .await
            .unwrap()
    };
    let read = async |filter: &LogFilter, after, limit| read_on(filter, after, limit).await.lines;
    let lines = read(&all, after(written), 9).await;
    let messages: Vec<_> = lines.iter().map(|stored| stored.line.message.as_str()).collect();
    assert_eq!(
        messages,
        ["info at 15", "error at 15", "info at 30", "info at 25"]
    );
    let page = read_on(&all, after(lines[1].written.unwrap()), 1).await;
    assert_eq!(
        (page.lines.as_slice(), page.reached),
        (&lines[2..3], lines[2].written)
    );
    assert_eq!(
        read_on(&all, after(lines[1].written.unwrap()), 9).await.reached,
        None
    );
    let whenever = WrittenAfter {
        written,
        at_least: None,
    };
    let last = read(&all, whenever, 9).await.pop().unwrap();
    assert_eq!(last.line.message, "info at 5");
    let errors = LogFilter {
        level: Some(Level::Error),
        ..Default::default()
    };
    assert_eq!(read(&errors, after(written), 9).await, lines[1..2]);
    let count = async |filter: &LogFilter| {
        repository
            .invocations_written(acme, filter, after(written))
            .await
            .unwrap()
    };
    assert_eq!((count(&all).await, count(&errors).await), (3, 1));
}

pub async fn what_is_kept_is_counted_and_the_oldest_leaves(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let nothing = Kept::default();
    assert_eq!(repository.kept(acme).await.unwrap(), nothing);
    let first = entry(acme, "orders", 10, &[Level::Info, Level::Info]);
    let second = entry(acme, "orders", 20, &[Level::Info, Level::Info]);
    let theirs = entry(other, "orders", 15, &[Level::Info]);
    repository.record(std::slice::from_ref(&first)).await.unwrap();
    let batch = [second.clone(), theirs];
    let kept = repository.record(&batch).await.unwrap();
    let line = kept[&other].log_bytes;
    assert!(line > 0);
    let four = Kept {
        records: 2,
        log_bytes: 4 * line,
    };
    assert_eq!(kept[&acme], four);
    // Recording the same entries again adds nothing.
    assert!(repository.record(&batch).await.unwrap().is_empty());
    assert_eq!(repository.kept(acme).await.unwrap(), four);

    assert_eq!(repository.prune_beyond(acme, four).await.unwrap(), four);
    let most = Kept {
        records: 1,
        log_bytes: 4 * line - 1,
    };
    let left = Kept {
        records: 1,
        log_bytes: 3 * line,
    };
    assert_eq!(repository.prune_beyond(acme, most).await.unwrap(), left);
    let all = InvocationFilter::default();
    let records = repository.invocations(acme, &all, Page::first(9)).await.unwrap();
    assert_eq!(records, [second.record]);
    let lines = repository
        .log_lines(acme, &LogFilter::default(), Page::first(9))
        .await
        .unwrap();
    let places: Vec<_> = lines.iter().map(|line| (line.line.at.0, line.position)).collect();
    assert_eq!(places, [(20, 1), (20, 0), (10, 1)]);

    assert_eq!(repository.prune_before(Timestamp(20)).await.unwrap(), 3);
    let left = Kept {
        records: 1,
        log_bytes: 2 * line,
    };
    assert_eq!(repository.kept(acme).await.unwrap(), left);
    assert_eq!(repository.kept(other).await.unwrap(), nothing);
    assert_eq!(repository.prune_beyond(acme, nothing).await.unwrap(), nothing);
    let usage = repository
        .usage(acme, Timestamp(0), Timestamp(HOUR))
        .await
        .unwrap();
    assert_eq!(usage[0].invocations, 2);
}

pub async fn what_was_recorded_together_leaves_together(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    for times in [[10, 20, 30], [40, 50, 60]] {
        let batch = times.map(|at| entry(acme, "orders", at, &[]));
        repository.record(&batch).await.unwrap();
    }
    for (most, left) in [(7, 6), (6, 6), (5, 6), (4, 6), (3, 3), (2, 3), (1, 3)] {
        let most = Kept {
            records: most,
            ..Kept::default()
        };
        let kept = repository.prune_beyond(acme, most).await.unwrap();
        assert_eq!(kept.records, left, "of {}", most.records);
    }
    assert_eq!(repository.prune_before(Timestamp(60)).await.unwrap(), 0);
    assert_eq!(repository.prune_before(Timestamp(61)).await.unwrap(), 3);
    assert_eq!(repository.kept(acme).await.unwrap(), Kept::default());
}

pub async fn invocations_are_in_order_however_late_they_ended(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let plugins = ["orders", "hello", "orders"];
    let entries: Vec<Entry> = (0..12)
        .map(|at| entry(acme, plugins[at % 3], i64::try_from(at).unwrap(), &[]))
        .collect();
    // Each group ended together, in an order that differs from the order of the starts.
    for together in [&[0, 11, 5][..], &[7, 1], &[2, 3, 10], &[4], &[9, 6, 8]] {
        let batch: Vec<Entry> = together.iter().map(|at| entries[*at].clone()).collect();
        repository.record(&batch).await.unwrap();
    }
    let mut newest_first: Vec<_> = entries.iter().rev().map(|entry| entry.record.clone()).collect();
    let read =
        async |filter: &InvocationFilter, page| repository.invocations(acme, filter, page).await.unwrap();
    let all = InvocationFilter::default();
    for limit in 1..=12 {
        let mut pages = read(&all, Page::first(limit)).await;
        while let Some(last) = pages.last().map(|record| record.id) {
            let page = read(&all, Page::after(last, limit)).await;
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, newest_first, "in pages of {limit}");
    }
    for record in &newest_first {
        let found = repository.invocation(acme, record.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(record));
    }
    let filter = InvocationFilter {
        plugin: Some(name("hello")),
        since: Some(Timestamp(4)),
        ..InvocationFilter::default()
    };
    newest_first.retain(|record| record.plugin == name("hello") && record.started_at.0 >= 4);
    assert_eq!(read(&filter, Page::first(9)).await, newest_first);
}

pub async fn every_number_of_the_usage_is_kept_and_summed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let mut entry = entry(acme, "orders", 10, &[]);
    // Every field has a different value, so that mixed-up fields are noticed.
    let mut numbers = serde_json::to_value(entry.record.usage).unwrap();
    for (index, (_, number)) in numbers.as_object_mut().unwrap().iter_mut().enumerate() {
        *number = (index + 1).into();
    }
    entry.record.usage = serde_json::from_value(numbers.clone()).unwrap();
    repository.record(&[entry.clone()]).await.unwrap();
    let stored = repository.invocation(acme, entry.record.id).await.unwrap();
    assert_eq!(stored.unwrap().usage, entry.record.usage);
    let sums = repository
        .usage(acme, Timestamp(0), Timestamp(HOUR))
        .await
        .unwrap();
    let sums: Vec<_> = UsageSum::NAMES.iter().zip(sums[0].numbers()).collect();
    assert_eq!((sums[0].1, sums[1].1), (1, 0), "invocations and failures");
    for (name, sum) in &sums[2..] {
        assert_eq!(Some(*sum), numbers[**name].as_u64(), "{name}");
    }
    assert!(sums.len() > 15, "{sums:?}");
}

pub async fn one_batch_has_many_plugins_of_many_tenants(repository: &dyn Repository) {
    const MANY: usize = 250;
    let mut tenants = Vec::new();
    for number in 0..MANY {
        tenants.push(tenant(repository, &format!("t{number}")).await.id);
    }
    for round in 1..=2_u64 {
        let mut batch = Vec::new();
        for (number, tenant) in tenants.iter().enumerate() {
            batch.push(entry(*tenant, "orders", 10, &[Level::Info]));
            batch.push(entry(tenants[0], &format!("p{number}"), 10, &[]));
        }
        let kept = repository.record(&batch).await.unwrap();
        assert_eq!(kept.len(), MANY);
        for tenant in &tenants {
            assert_eq!(kept[tenant], repository.kept(*tenant).await.unwrap());
        }
        let records = |tenant: usize| kept[&tenants[tenant]].records;
        assert_eq!((records(0), records(1)), (251 * round, round));
    }
    let sums = repository
        .usage(tenants[0], Timestamp(0), Timestamp(HOUR))
        .await
        .unwrap();
    assert_eq!(sums.len(), MANY + 1);
    assert!(sums.iter().all(|sum| sum.invocations == 2 && sum.cpu_us == 20));
}

pub async fn pruning_keeps_the_usage(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let old = entry(acme, "orders", 10, &[Level::Info, Level::Info]);
    let new = entry(acme, "orders", 20, &[Level::Info]);
    repository.record(&[old]).await.unwrap();
    repository.record(std::slice::from_ref(&new)).await.unwrap();
    assert_eq!(repository.prune_before(Timestamp(20)).await.unwrap(), 3);
    assert_eq!(repository.prune_before(Timestamp(20)).await.unwrap(), 0);
    let left = repository
        .invocations(acme, &InvocationFilter::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(left, [new.record]);
    let lines = repository
        .log_lines(acme, &LogFilter::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(lines.len(), 1);
    let usage = repository
        .usage(acme, Timestamp(0), Timestamp(HOUR))
        .await
        .unwrap();
    assert_eq!(usage[0].invocations, 2);
}

pub async fn invocations_are_found_by_route_status_principal_and_time(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let callers = [(); 2].map(|()| PrincipalId::ApiKey(ApiKeyId::generate()));
    let mut records = Vec::new();
    // Some blocks have one kind of record, others have all kinds.
    for (block, size) in [1, 1, 1, 7, 1, 12].into_iter().enumerate() {
        let batch: Vec<Entry> = (0..size)
            .map(|at| {
                let kind = block + at;
                let mut entry = entry(acme, "orders", i64::try_from(100 * block + at).unwrap(), &[]);
                let record = &mut entry.record;
                record.triggered = get(["/orders", "/orders/{id}", "/"][kind % 3]);
                record.status = [200, 404, 403, 502][kind % 4];
                record.principal = [Some(callers[0]), Some(callers[1]), None][kind % 3];
                entry
            })
            .collect();
        repository.record(&batch).await.unwrap();
        records.extend(batch.into_iter().map(|entry| entry.record));
    }
    records.reverse();
    let all = InvocationFilter::default;
    let route = |route: &str| InvocationFilter {
        route: Some(route.to_owned()),
        ..all()
    };
    let status = |status: &str| InvocationFilter {
        status: Some(name(status)),
        ..all()
    };
    let filters = [
        (route("/orders"), 8),
        (route("/orders/{id}"), 8),
        (route("/order"), 0),
        (status("404"), 6),
        (status("4xx"), 11),
        (status("5xx"), 5),
        (status("301"), 0),
        (
            InvocationFilter {
                principal: Some(callers[1]),
                ..all()
            },
            8,
        ),
        (
            InvocationFilter {
                principal: Some(PrincipalId::ApiKey(ApiKeyId::generate())),
                ..all()
            },
            0,
        ),
        (
            InvocationFilter {
                since: Some(Timestamp(100)),
                until: Some(Timestamp(302)),
                ..all()
            },
            4,
        ),
        (
            InvocationFilter {
                status: Some(name("404")),
                principal: Some(callers[0]),
                until: Some(Timestamp(505)),
                ..route("/orders")
            },
            2,
        ),
    ];
    for (filter, count) in filters {
        let found = repository
            .invocations(acme, &filter, Page::first(50))
            .await
            .unwrap();
        let wanted: Vec<_> = records
            .iter()
            .filter(|record| filter.accepts(record))
            .cloned()
            .collect();
        assert_eq!(found, wanted, "{filter:?}");
        assert_eq!(found.len(), count, "{filter:?}");
        // The same page by page.
        let mut paged = repository
            .invocations(acme, &filter, Page::first(2))
            .await
            .unwrap();
        while let Some(last) = paged.last().map(|record| record.id) {
            let page = Page::after(last, 2);
            let page = repository.invocations(acme, &filter, page).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, wanted, "{filter:?}");
    }
    // Deleting records deletes their summaries. The remaining records are found.
    let most = Kept {
        records: 12,
        ..Kept::default()
    };
    repository.prune_beyond(acme, most).await.unwrap();
    let left = repository
        .invocations(acme, &route("/orders"), Page::first(50))
        .await
        .unwrap();
    assert_eq!(left.len(), 4);
}

pub async fn attempts_of_jobs_are_found_by_kind_of_job(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let mut batch = Vec::new();
    for (at, kind) in ["sync-erp", "report", "sync-erp"].into_iter().enumerate() {
        let mut entry = entry(acme, "orders", i64::try_from(at).unwrap(), &[]);
        entry.record.triggered = attempt(kind, Some(JobOutcome::Retry));
        batch.push(entry);
    }
    batch.push(entry(acme, "orders", 9, &[]));
    repository.record(&batch).await.unwrap();
    let found = async |filter: InvocationFilter| {
        let found = repository.invocations(acme, &filter, Page::first(9)).await;
        found.unwrap()
    };
    let of_kind = found(InvocationFilter {
        job: Some(name("sync-erp")),
        ..InvocationFilter::default()
    });
    let of_kind: Vec<_> = of_kind.await;
    assert_eq!(of_kind, [batch[2].record.clone(), batch[0].record.clone()]);
    let jobs = found(InvocationFilter {
        trigger: Some(Trigger::Job),
        ..InvocationFilter::default()
    });
    assert_eq!(jobs.await.len(), 3);
    let other = found(InvocationFilter {
        job: Some(name("absent")),
        ..InvocationFilter::default()
    });
    assert!(other.await.is_empty());
}

/// An attempt to run a job.
fn attempt(kind: &str, outcome: Option<JobOutcome>) -> Triggered {
    Triggered::Job {
        id: JobId::generate(),
        name: name(kind),
        attempt: 2,
        outcome,
    }
}

const DAY: i64 = 24 * HOUR;

pub async fn calls_are_counted_by_day_route_and_caller(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let key = PrincipalId::ApiKey(ApiKeyId::generate());
    let call = |tenant, at, route: &str, principal, code: Option<Code>| {
        let mut entry = entry(tenant, "orders", at, &[]);
        entry.record.triggered = get(route);
        entry.record.principal = principal;
        entry.record.code = code.map(|code| code.as_str().into());
        entry
    };
    let batch = [
        call(acme, 1, "/a", Some(key), None),
        call(acme, DAY - 1, "/a", Some(key), Some(Code::PluginTrapped)),
        call(acme, 2, "/a", None, None),
        call(acme, DAY, "/a", Some(key), None),
        call(acme, DAY, "/b", Some(key), None),
        call(other, DAY, "/a", Some(key), None),
    ];
    // Nobody calls a job.
    let mut job = call(acme, 1, "/a", None, None);
    job.record.triggered = attempt("sync-erp", Some(JobOutcome::Done));
    repository.record(&[job]).await.unwrap();
    repository.record(&batch).await.unwrap();
    // A repeated batch is counted once.
    repository.record(&batch).await.unwrap();
    repository
        .record(&[call(acme, DAY + 1, "/a", Some(key), None)])
        .await
        .unwrap();
    let mut unrecorded = Totals::default();
    unrecorded.add(&call(acme, DAY + 2, "/a", Some(key), None).record);
    unrecorded.add(&call(TenantId::generate(), 1, "/a", None, None).record);
    repository.add_totals(&unrecorded).await.unwrap();

    let read = async |tenant, route: Option<&str>, from, to| {
        let filter = CallFilter {
            plugin: name("orders"),
            route: route.map(str::to_owned),
            from: Timestamp(from),
            to: Timestamp(to),
        };
        repository.calls(tenant, &filter, Page::first(9)).await.unwrap()
    };
    let counted = |day, route: &str, caller, invocations, failures| CountedCalls {
        day: Timestamp(day),
        method: "GET".to_owned(),
        route: route.to_owned(),
        caller,
        calls: Calls {
            invocations,
            failures,
        },
    };
    let first_day = [
        counted(0, "/a", Caller::Anyone, 1, 0),
        counted(0, "/a", Caller::Principal(key), 2, 1),
    ];
    let second_day = [
        counted(DAY, "/a", Caller::Principal(key), 3, 0),
        counted(DAY, "/b", Caller::Principal(key), 1, 0),
    ];
    assert_eq!(read(acme, None, 0, DAY).await, first_day);
    assert_eq!(read(acme, None, DAY, 2 * DAY).await, second_day);
    assert_eq!(read(acme, Some("/b"), 0, 2 * DAY).await, second_day[1..]);
    assert_eq!(read(other, None, 0, 2 * DAY).await.len(), 1);
    let filter = CallFilter {
        plugin: name("orders"),
        route: None,
        from: Timestamp(0),
        to: Timestamp(2 * DAY),
    };
    let mut paged: Vec<CountedCalls> = Vec::new();
    loop {
        let page = Page {
            after: paged.last().map(CountedCalls::position),
            limit: 1,
        };
        let found = repository.calls(acme, &filter, page).await.unwrap();
        if found.is_empty() {
            break;
        }
        paged.extend(found);
    }
    assert_eq!(paged, [&first_day[..], &second_day[..]].concat());

    assert_eq!(repository.forget_calls_before(Timestamp(0)).await.unwrap(), 0);
    assert!(repository.forget_calls_before(Timestamp(DAY)).await.unwrap() > 0);
    assert_eq!(repository.forget_calls_before(Timestamp(DAY)).await.unwrap(), 0);
    assert_eq!(read(acme, None, 0, 2 * DAY).await, second_day);
    repository.purge_tenant(acme, &change(1)).await.unwrap();
    assert!(read(acme, None, 0, 2 * DAY).await.is_empty());
    assert_eq!(read(other, None, 0, 2 * DAY).await.len(), 1);
}

pub async fn callers_beyond_the_limit_are_counted_together(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let many = |count: u64| {
        let mut totals = Totals::default();
        let mut last = None;
        for _ in 0..count {
            let record = entry(acme, "orders", 1, &[]).record;
            totals.add(&record);
            last = record.principal;
        }
        (totals, last)
    };
    let (first, known) = many(CALLERS_A_DAY - 1);
    repository.add_totals(&first).await.unwrap();
    repository.add_totals(&many(3).0).await.unwrap();
    // A caller that is already counted stays separate.
    let mut again = Totals::default();
    let mut record = entry(acme, "orders", 2, &[]).record;
    record.principal = known;
    again.add(&record);
    repository.add_totals(&again).await.unwrap();
    let filter = CallFilter {
        plugin: name("orders"),
        route: None,
        from: Timestamp(0),
        to: Timestamp(1),
    };
    let counted = repository
        .calls(acme, &filter, Page::first(u32::MAX))
        .await
        .unwrap();
    assert_eq!(counted.len() as u64, CALLERS_A_DAY + 1);
    let of = |caller| {
        let found = counted.iter().find(|counted| counted.caller == caller);
        found.map(|counted| counted.calls.invocations)
    };
    assert_eq!(of(Caller::Others), Some(2));
    assert_eq!(of(Caller::Principal(known.unwrap())), Some(2));
    // The next day is counted separately.
    let mut next_day = Totals::default();
    next_day.add(&entry(acme, "orders", DAY, &[]).record);
    repository.add_totals(&next_day).await.unwrap();
    let filter = CallFilter {
        from: Timestamp(DAY),
        to: Timestamp(DAY + 1),
        ..filter
    };
    let counted = repository.calls(acme, &filter, Page::first(9)).await.unwrap();
    assert!(matches!(counted[0].caller, Caller::Principal(_)));
}
