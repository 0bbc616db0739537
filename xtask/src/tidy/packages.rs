//! The rules for packages: licence and lints.

use super::files::File;

/// Every package uses the workspace's licence and lints, and the licence text exists.
pub fn uniform(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") && file.text.contains("[package]"))
    {
        for (section, key) in [
            ("[package]", "license.workspace = true"),
            ("[lints]", "workspace = true"),
        ] {
            if !has(&file.text, section, key) {
                complaints.push(format!("{}: {section} has no `{key}`", file.path));
            }
        }
    }
    let root = files.iter().find(|file| file.path == "Cargo.toml");
    if !root.is_some_and(|root| has(&root.text, "[workspace.package]", "license = \"Apache-2.0\"")) {
        complaints.push("Cargo.toml: [workspace.package] has no `license = \"Apache-2.0\"`".to_owned());
    }
    complaints
}

fn has(toml: &str, section: &str, key: &str) -> bool {
    let lines = toml.lines().skip_while(|line| line.trim() != section).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    const ROOT: &str = "[workspace.package]\nlicense = \"Apache-2.0\"\n";

    #[test]
    fn a_uniform_package_is_accepted() {
        let package = "[package]\nname = \"a\"\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(
            uniform(&[file("Cargo.toml", ROOT), file("a/Cargo.toml", package)]),
            [""; 0]
        );
    }

    #[test]
    fn what_a_package_lacks_is_found() {
        let package = "[package]\nname = \"a\"\n\n[dependencies]\nlicense.workspace = true\n";
        let found = uniform(&[file("Cargo.toml", "[workspace]\n"), file("a/Cargo.toml", package)]);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
