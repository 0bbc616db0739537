//! Paths that documents name in backquotes.

use super::files::File;

/// Whether a word is the path of a folder or of a Rust file: `xtask/`, `host/src/main.rs`,
/// `main.rs`.
pub fn is_path(word: &str) -> bool {
    let is_plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.'));
    is_plain && !word.starts_with('/') && (word.ends_with('/') || word.ends_with(".rs"))
}

/// The file at a path, or all files below it if it ends with `/`.
pub fn at<'a>(files: &'a [File], path: &str) -> impl Iterator<Item = &'a File> {
    files.iter().filter(move |file| match path.ends_with('/') {
        true => file.path.starts_with(path),
        false => file.path == path,
    })
}

/// Whether there is a file or a folder at a path.
pub fn exists(files: &[File], path: &str) -> bool {
    at(files, path).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn paths_are_told_from_other_words() {
        for path in ["xtask/", "host/src/main.rs", "main.rs"] {
            assert!(is_path(path), "{path}");
        }
        for word in ["/docs/", "application/json", "a b/", "cargo xtask", "tenant"] {
            assert!(!is_path(word), "{word}");
        }
    }

    #[test]
    fn a_folder_is_what_is_below_it() {
        let files = [file("a/b.rs", ""), file("a/c/d.rs", "")];
        assert_eq!(at(&files, "a/").count(), 2);
        assert!(exists(&files, "a/b.rs") && exists(&files, "a/c/"));
        assert!(!exists(&files, "b.rs") && !exists(&files, "a/c"));
    }
}
