//! `cargo xtask judge`: tests a running host with independent programs and libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::run::{self, read, root, target_folder};
use crate::steps::{Result, Steps};

/// Installs the clients, builds the host with the profile of the tests, and runs the clients.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(4);
    steps.step("checking the toolchain", prepare)?;
    let packages = steps.step("installing the packages of the judges", packages)?;
    let built = steps.step("building the host", || build(Profile::Dev))?;
    steps.step("running the judges", || {
        let packages = ["--packages".to_owned(), packages.display().to_string()];
        built.run("judge", &[&packages[..], arguments].concat())
    })
}

/// The packages from npm and PyPI, in a folder below the target folder. They are installed anew
/// when their list changes.
fn packages() -> Result<PathBuf> {
    programs()?;
    let folder = target_folder()?.join("judge");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let lists = root().join("lab/judge/programs");
    install(&lists, &folder, &["package.json", "package-lock.json"], || {
        run::run(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--silent"])
                .current_dir(&folder),
        )
    })?;
    install(&lists, &folder, &["requirements.txt"], || {
        let environment = folder.join("python");
        run::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )
        .map_err(|error| format!("{error}; if Python's venv is missing: `apt-get install python3-venv`"))?;
        run::run(
            Command::new(environment.join("bin/pip"))
                .args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    "requirements.txt",
                ])
                .current_dir(&folder),
        )
    })?;
    Ok(folder)
}

/// Copies the lists to `folder` and installs the packages, unless the file `….installed` has the
/// same lists. It is written last, so an interrupted installation is repeated.
fn install(lists: &Path, folder: &Path, names: &[&str], work: impl FnOnce() -> Result<()>) -> Result<()> {
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
    let done = folder.join(format!("{}.installed", names[0]));
    let mut wanted = Vec::new();
    for name in names {
        wanted.extend(read(lists.join(name))?);
    }
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    for name in names {
        std::fs::copy(lists.join(name), folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    work()?;
    std::fs::write(&done, wanted).map_err(|error| format!("{}: {error}", done.display()))
}

/// Checks that the programs without a package are installed.
fn programs() -> Result<()> {
    let missing: Vec<&str> = ["node", "npm", "python3", "curl"]
        .into_iter()
        .filter(|program| read(Command::new(program).arg("--version")).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the judges need {}: `apt-get install nodejs npm python3 python3-venv curl`, Node of version 20 or later",
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_installed_once_for_each_list() {
        let (lists, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (lists, folder) = (lists.path(), folder.path());
        let mut installed = 0;
        for (list, times) in [("one", 1), ("one", 1), ("two", 2)] {
            std::fs::write(lists.join("list"), list).unwrap();
            install(lists, folder, &["list"], || {
                installed += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(installed, times);
        }
        std::fs::write(lists.join("list"), "three").unwrap();
        let failed = || Err("no network".to_owned());
        assert_eq!(install(lists, folder, &["list"], failed), failed());
        install(lists, folder, &["list"], || {
            installed += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(installed, 3);
    }
}
