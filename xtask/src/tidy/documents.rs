//! Rules for documents: their paths and links must exist.

use super::files::File;
use super::paths::{exists, is_path};

/// Every path that the code map names exists, below the root or below `host/src`. The bare name of
/// a file may be in any folder.
pub fn map_is_true(files: &[File]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md is not there".to_owned()];
    };
    let named = document.text.split('`').skip(1).step_by(2);
    let absent = named.filter(|word| is_path(word)).filter(|path| {
        let is_there = exists(files, path) || exists(files, &format!("host/src/{path}"));
        !is_there && (path.contains('/') || !is_name(files, path))
    });
    absent
        .map(|path| format!("ARCHITECTURE.md names `{path}`, which is not there"))
        .collect()
}

/// Every relative link in a Markdown file leads to an existing file or folder.
pub fn links_lead_somewhere(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in file
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
        {
            if link.is_empty() || link.contains(':') || link.starts_with('/') {
                continue;
            }
            let path = resolve(folder, link);
            let leads = exists(files, &path) || exists(files, &format!("{path}/")) || path == "LICENSE";
            if !leads && !path.is_empty() {
                complaints.push(format!("{}: `{link}` leads nowhere", file.path));
            }
        }
    }
    complaints
}

/// Whether a file has this name, in whichever folder.
fn is_name(files: &[File], name: &str) -> bool {
    let mut names = files
        .iter()
        .filter_map(|file| Some(file.path.rsplit_once('/')?.1));
    names.any(|other| other == name)
}

fn resolve(folder: &str, link: &str) -> String {
    let mut segments: Vec<&str> = folder.split('/').filter(|segment| !segment.is_empty()).collect();
    for segment in link.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_found() {
        let map = "`host/src/runtime/` and `gateway/`, `vault.rs`, `lost.rs`, `/docs/`, `application/json`, `a b/`, `host/src/gone/`";
        let files = [
            file("ARCHITECTURE.md", map),
            file("host/src/runtime/mod.rs", ""),
            file("host/src/gateway/mod.rs", ""),
            file("host/src/storage/vault.rs", ""),
        ];
        assert_eq!(
            map_is_true(&files),
            [
                "ARCHITECTURE.md names `lost.rs`, which is not there",
                "ARCHITECTURE.md names `host/src/gone/`, which is not there"
            ]
        );
        assert_eq!(map_is_true(&[]), ["ARCHITECTURE.md is not there"]);
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "[a](../README.md#top) [b](gone.md) [c](https://example.com) [d](#here) [e](../docs) [f](other.md)";
        let files = [
            file("docs/a.md", text),
            file("docs/other.md", ""),
            file("README.md", "[l](LICENSE)"),
        ];
        assert_eq!(
            links_lead_somewhere(&files),
            ["docs/a.md: `gone.md` leads nowhere"]
        );
    }
}
