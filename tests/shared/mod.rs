//! Helpers of the in-process tests and the process tests.

pub mod wasm;

use mortise::components::bundle::Bundle;

/// A guest as one component with its manifest.
pub fn bundled(guest: &str, manifest: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let all = [("plugin.toml", manifest)];
    for (path, content) in all.iter().chain(files) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let component = std::fs::read(guest).unwrap_or_else(|error| panic!("{guest}: {error}"));
    Bundle::from_folder(folder.path())
        .unwrap()
        .embed(&component)
        .unwrap()
}

/// A manifest with public routes for all paths, and further sections.
pub fn open_manifest(name: &str, more: &str) -> String {
    let routes: String = ["GET", "POST"]
        .iter()
        .map(|method| format!("[[route]]\nmethod = '{method}'\npath = '/{{*rest}}'\nauth = 'public'\n"))
        .collect();
    format!("[plugin]\nname = '{name}'\nversion = '1.0.0'\n{routes}{more}")
}

/// Opens a database file of a host directly.
#[expect(clippy::disallowed_methods, reason = "SQLite's memory is set up here")]
pub fn open_database(file: impl AsRef<std::path::Path>) -> rusqlite::Connection {
    mortise::capability::database::configure_sqlite().unwrap();
    rusqlite::Connection::open(file).unwrap()
}
