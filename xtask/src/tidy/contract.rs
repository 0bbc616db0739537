//! The rule that a capability has the same name in the contract, the host and the SDK.

use super::files::File;

/// The folder of the newest version of the contract.
const NEWEST: &str = "wit/0.2/";

/// Interfaces of the contract that are not capabilities.
const OTHERS: [&str; 4] = ["types", "world", "handlers", "http"];

/// The folder beside the capabilities' that has the bindings of each version of the contract.
const BINDINGS: &str = "bindings";

/// A capability that the SDK or the host has by another name than the contract.
const IN_SDK: [(&str, &str); 2] = [("http-client", "http"), ("database", "db")];

/// Each folder of a capability has the name of an interface of the contract, and the SDK has a
/// module for it.
pub fn one_name(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let contract: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(NEWEST)?.strip_suffix(".wit"))
        .filter(|name| !OTHERS.contains(name))
        .collect();
    let exists = |path: &str| files.iter().any(|file| file.path == path);
    for name in served(files) {
        if !contract.contains(&name.as_str()) {
            complaints.push(format!(
                "host/src/capability/{} is not in {NEWEST}",
                name.replace('-', "_")
            ));
            continue;
        }
        let module = IN_SDK
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(name.replace('-', "_"), |(_, own)| (*own).to_owned());
        if !exists(&format!("sdk/rust/src/{module}.rs")) && !exists(&format!("sdk/rust/src/{module}/mod.rs"))
        {
            complaints.push(format!(
                "the host serves {name}, but sdk/rust/src has no module {module}"
            ));
        }
    }
    complaints
}

/// The capabilities that have a folder in the host.
fn served(files: &[File]) -> impl Iterator<Item = String> {
    files.iter().filter_map(|file| {
        let name = file
            .path
            .strip_prefix("host/src/capability/")?
            .strip_suffix("/mod.rs")?;
        (!name.contains('/') && name != BINDINGS).then(|| name.replace('_', "-"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn the_same_name_everywhere_is_accepted() {
        let files = [
            "wit/0.2/log.wit",
            "wit/0.2/http-client.wit",
            "host/src/capability/log/mod.rs",
            "sdk/rust/src/log.rs",
        ];
        let more = [
            "host/src/capability/http_client/mod.rs",
            "sdk/rust/src/http/mod.rs",
            "wit/0.2/jobs.wit",
        ];
        let files: Vec<File> = files.into_iter().chain(more).map(|path| file(path, "")).collect();
        assert_eq!(one_name(&files), [""; 0]);
    }

    #[test]
    fn another_name_is_found() {
        let files = [
            "wit/0.2/log.wit",
            "host/src/capability/log/mod.rs",
            "host/src/capability/logger/mod.rs",
            "sdk/rust/src/logs.rs",
        ];
        assert_eq!(
            one_name(&files.map(|path| file(path, ""))),
            [
                "the host serves log, but sdk/rust/src has no module log",
                "host/src/capability/logger is not in wit/0.2/"
            ]
        );
    }
}
