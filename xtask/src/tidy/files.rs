//! Reads the files of the repository that people write.

use std::path::Path;

use super::scanner::scan;
use crate::steps::Result;

/// A text file.
#[derive(Debug)]
pub struct File {
    /// Its path from the root, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

const KINDS: [&str; 8] = ["rs", "toml", "md", "wit", "sql", "json", "yml", "yaml"];

/// Folders that tools create.
const MADE: [&str; 4] = ["target", "mortise-data", "node_modules", ".git"];

/// Reads the files below `root`.
pub fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, root, &mut files).map_err(|error| format!("cannot read {}: {error}", root.display()))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !MADE.contains(&name.as_str()) {
                walk(root, &path, files)?;
            }
        } else if KINDS
            .iter()
            .any(|kind| path.extension().is_some_and(|extension| extension == *kind))
        {
            let path_from_root = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('\\', "/");
            files.push(File {
                path: path_from_root,
                text: std::fs::read_to_string(&path)?,
            });
        }
    }
    Ok(())
}

/// The path prefixes of modules that are declared for tests only.
pub fn only_for_tests(files: &[File]) -> Vec<String> {
    let mut tests = Vec::new();
    for file in files {
        let Some(folder) = file
            .path
            .strip_suffix("mod.rs")
            .or_else(|| file.path.strip_suffix("lib.rs"))
        else {
            continue;
        };
        let lines: Vec<&str> = file.text.lines().collect();
        for pair in lines.windows(2) {
            let module = pair[1]
                .split("mod ")
                .nth(1)
                .and_then(|name| name.strip_suffix(';'));
            if let Some(name) = module.filter(|_| pair[0] == "#[cfg(test)]") {
                tests.extend([format!("{folder}{name}.rs"), format!("{folder}{name}/")]);
            }
        }
    }
    tests
}

impl File {
    /// Whether it is a Rust file.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Its code: without the tests, which stand last, without comments, and without the text of
    /// string literals.
    pub fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = scan(&self.text).into_iter().take(self.lines_without_tests());
        lines.enumerate().map(|(index, line)| (index + 1, line.code))
    }

    /// The number of lines before the tests.
    pub fn lines_without_tests(&self) -> usize {
        if self.is_test() {
            return 0;
        }
        let mut before = "";
        let tests_begin = self.text.lines().position(|line| {
            let begins = before == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{');
            before = line;
            begins
        });
        match tests_begin {
            Some(at) => at.saturating_sub(1),
            None => self.text.lines().count(),
        }
    }

    /// Whether it contains only tests.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }
}

#[cfg(test)]
pub fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_comments_are_no_code() {
        let file = file(
            "host/src/a.rs",
            "a(\"// x\"); // b\n#[cfg(test)]\nmod tests;\nc();\n#[cfg(test)]\nmod tests {\nd();\n}\n",
        );
        let code: Vec<_> = file.code().collect();
        assert_eq!(
            code,
            [
                (1, "a(\"\"); "),
                (2, "#[cfg(test)]"),
                (3, "mod tests;"),
                (4, "c();")
            ]
            .map(|(number, line)| (number, line.to_owned()))
        );
        assert_eq!(file.lines_without_tests(), 4);
    }

    #[test]
    fn modules_for_tests_are_found_by_their_declaration() {
        let text = "mod a;\n#[cfg(test)]\npub(crate) mod conformance;\n#[cfg(test)]\nmod tests {\n";
        let files = [file("host/src/storage/mod.rs", text), file("host/src/b.rs", text)];
        assert_eq!(
            only_for_tests(&files),
            ["host/src/storage/conformance.rs", "host/src/storage/conformance/"]
        );
    }

    #[test]
    fn what_tools_make_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", "target"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("a.rs"), "").unwrap();
        }
        std::fs::write(root.path().join("src/picture.png"), [0xff]).unwrap();
        let paths: Vec<_> = read(root.path())
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        assert_eq!(paths, ["src/a.rs"]);
    }
}
