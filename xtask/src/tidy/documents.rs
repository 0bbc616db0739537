//! Rules for documents: their paths and links must exist.

use super::files::File;

/// Every path in the code map, in backquotes and ending with `/` or `.rs`, exists.
pub fn map_is_true(files: &[File]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md is not there".to_owned()];
    };
    let named = document.text.split('`').skip(1).step_by(2);
    let paths = named.filter(|word| {
        let plain = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.'));
        plain
            && word.contains('/')
            && !word.starts_with('/')
            && (word.ends_with('/') || word.ends_with(".rs"))
    });
    let absent = paths.filter(|path| !exists(files, path) && !exists(files, &format!("host/src/{path}")));
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

fn exists(files: &[File], path: &str) -> bool {
    files.iter().any(|file| {
        if path.ends_with('/') {
            file.path.starts_with(path)
        } else {
            file.path == path
        }
    })
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
        let map = "`host/src/runtime/` and `gateway/`, `vault.rs`, `/docs/`, `application/json`, `a b/`, `host/src/gone/`";
        let files = [
            file("ARCHITECTURE.md", map),
            file("host/src/runtime/mod.rs", ""),
            file("host/src/gateway/mod.rs", ""),
        ];
        assert_eq!(
            map_is_true(&files),
            ["ARCHITECTURE.md names `host/src/gone/`, which is not there"]
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
