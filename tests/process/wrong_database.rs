//! Tests that a start never destroys data: a control database that does not belong to the data
//! folder is rejected, and unknown files are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::host::{HostProcess, finish, serve};
use super::plugin;
use crate::shared::open_database;

/// Creates a data folder with two tenants, of which the first has a plugin and each has a database.
/// Returns the control database before the second tenant was created.
fn used(data: &Path) -> Vec<u8> {
    let host = HostProcess::start(data);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    host.stop();
    let before = std::fs::read(data.join("mortise.db")).unwrap();
    let host = HostProcess::start(data);
    host.operator()
        .post("/api/v1/tenants", &json!({ "name": "globex" }))
        .expect(201);
    host.stop();
    for tenant in tenants(data) {
        open_database(data.join(format!("databases/{tenant}.db")))
            .execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (7);")
            .unwrap();
    }
    before
}

fn tenants(data: &Path) -> Vec<String> {
    let database = open_database(data.join("mortise.db"));
    let mut statement = database.prepare("SELECT id FROM tenants ORDER BY name").unwrap();
    let ids = statement.query_map((), |row| row.get(0)).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}

/// All files of tenants, with their content.
fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = ["databases", "components"].map(|name| data.join(name));
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_database_that_is_lost_cut_old_or_foreign_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let older = used(&data);
    let good = std::fs::read(data.join("mortise.db")).unwrap();
    let mark = std::fs::read(data.join("mark")).unwrap();
    let foreign = {
        let other = folder.path().join("other");
        used(&other);
        std::fs::read(other.join("mortise.db")).unwrap()
    };
    let kept = files(&data);
    assert_eq!(kept.len(), 3, "two databases and a component");
    let third = good.len() / 3;
    type Harm<'a> = (&'a str, Option<&'a [u8]>, &'a [u8]);
    let harms: [Harm<'_>; 9] = [
        ("is missing or empty", None, &mark),
        ("is missing or empty", Some(b""), &mark),
        // This folder is of an earlier host, which wrote no marks.
        ("is missing or empty", Some(b""), b""),
        ("is truncated", Some(&good[..3]), &mark),
        ("is truncated", Some(&good[..4096]), &mark),
        ("is truncated", Some(&good[..third]), &mark),
        ("is truncated", Some(&good[..good.len() - 1]), &mark),
        ("is older than its data folder", Some(&older), &mark),
        ("belongs to another data folder", Some(&foreign), &mark),
    ];
    for (complaint, database, mark) in harms {
        match database {
            Some(bytes) => std::fs::write(data.join("mortise.db"), bytes).unwrap(),
            None => std::fs::remove_file(data.join("mortise.db")).unwrap(),
        }
        match mark {
            b"" => std::fs::remove_file(data.join("mark")).unwrap(),
            mark => std::fs::write(data.join("mark"), mark).unwrap(),
        }
        // Every attempt fails.
        for _ in 0..2 {
            let stderr = finish(&mut serve(&data), "").fails(1);
            let errors: Vec<&str> = stderr
                .lines()
                .filter(|line| line.starts_with("error: "))
                .collect();
            assert_eq!(errors.len(), 1, "{stderr}");
            for wanted in [complaint, "mortise.db", "restore"] {
                assert!(errors[0].contains(wanted), "`{wanted}` in {}", errors[0]);
            }
            let is_offered = errors[0].contains("--accept-database");
            assert_eq!(is_offered, !complaint.contains("truncated"), "{}", errors[0]);
            assert_eq!(files(&data), kept, "{complaint}");
        }
    }
    // The right database is served again.
    std::fs::write(data.join("mortise.db"), &good).unwrap();
    let host = HostProcess::start(&data);
    assert_eq!(
        plugin::version(&host.http().get(&format!("{}/context", plugin::PLUGIN))),
        "1.0.0"
    );
    host.stop();
    assert_eq!(files(&data), kept);
}

#[test]
fn an_operator_who_accepts_an_old_database_finds_the_rest_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let older = used(&data);
    let [_, globex] = &tenants(&data)[..] else {
        panic!("two tenants")
    };
    let database = data.join(format!("databases/{globex}.db"));
    let content = std::fs::read(&database).unwrap();
    std::fs::write(data.join("mortise.db"), &older).unwrap();
    let host = HostProcess::start_command(serve(&data).arg("--accept-database"));
    assert_eq!(
        plugin::version(&host.http().get(&format!("{}/context", plugin::PLUGIN))),
        "1.0.0"
    );
    let node = host.operator().get("/api/v1/node").expect(200);
    let aside = node["set_aside"][0].as_str().unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), content);
    assert!(!database.exists());
    host.stop();
    // From now on it belongs to the folder, and the earlier copy does not.
    let newer = std::fs::read(data.join("mortise.db")).unwrap();
    HostProcess::start(&data).stop();
    std::fs::write(data.join("mortise.db"), &older).unwrap();
    finish(&mut serve(&data), "").fails(1);
    std::fs::write(data.join("mortise.db"), &newer).unwrap();
    HostProcess::start(&data).stop();
}

#[test]
fn a_refused_start_leaves_the_write_ahead_log_of_the_right_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used(&data);
    let host = HostProcess::start(&data);
    host.operator()
        .post("/api/v1/tenants", &json!({ "name": "initech" }))
        .expect(201);
    // The last acknowledged change is only in the write-ahead log.
    host.kill();
    let database = std::fs::read(data.join("mortise.db")).unwrap();
    let log = std::fs::read(data.join("mortise.db-wal")).unwrap();
    assert!(!log.is_empty());
    for wrong in [Some(b"".as_slice()), Some(b"noise".as_slice()), None] {
        match wrong {
            Some(bytes) => std::fs::write(data.join("mortise.db"), bytes).unwrap(),
            None => std::fs::remove_file(data.join("mortise.db")).unwrap(),
        }
        finish(&mut serve(&data), "").fails(1);
        assert_eq!(
            std::fs::read(data.join("mortise.db-wal")).unwrap(),
            log,
            "{wrong:?}"
        );
        std::fs::write(data.join("mortise.db"), &database).unwrap();
    }
    let host = HostProcess::start(&data);
    assert_eq!(host.operator().get("/api/v1/tenants/initech").status, 200);
    host.stop();
}

#[test]
fn a_write_ahead_log_of_another_copy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let older = used(&data);
    let host = HostProcess::start(&data);
    for number in 0..40 {
        let tenant = json!({ "name": format!("tenant-{number}") });
        host.operator().post("/api/v1/tenants", &tenant).expect(201);
    }
    host.stop();
    let host = HostProcess::start(&data);
    for name in ["initech", "umbrella"] {
        host.operator()
            .post("/api/v1/tenants", &json!({ "name": name }))
            .expect(201);
    }
    host.kill();
    std::fs::write(data.join("mortise.db"), &older).unwrap();
    for accept in [&[][..], &["--accept-database"]] {
        let stderr = finish(serve(&data).args(accept), "").fails(1);
        assert!(stderr.contains("mortise.db-wal"), "{stderr}");
    }
}
