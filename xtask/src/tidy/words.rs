//! The rule against invented names for which an established term exists.

use super::files::File;
use super::scanner::scan;

/// A forbidden name and its replacement. The lower-case form is forbidden as a file name.
const NAMES: [(&str, &str); 32] = [
    ("AilingCallee", "UnhealthyCallee"),
    ("Ailment", "OpenCircuit"),
    ("Course", "Placement"),
    ("Doorbell", "ChangeNotifier"),
    ("Gate", "TenantAdmission"),
    ("GateSize", "AdmissionSize"),
    ("Glance", "QuickCheck"),
    ("Keeper", "WarmPools"),
    ("KeptInstances", "WarmInstances"),
    ("KeptValidators", "WarmValidators"),
    ("Pass", "HealthPermit"),
    ("Patience", "Timeouts"),
    ("Promises", "ManifestChecks"),
    ("Stamina", "LongRunning"),
    ("Standing", "RateDecision"),
    ("Striped", "PerThread"),
    ("Track", "Placement"),
    ("Trouble", "FileState"),
    ("Troubles", "FileFaults"),
    ("Turns", "RunQueues"),
    ("Unserved", "UnavailableCapabilities"),
    ("UnservedView", "UnavailableCapabilitiesView"),
    ("afterwards", "deferred_drop"),
    ("ailing", "unhealthy"),
    ("ailment", "open_circuit"),
    ("doorbell", "notifier"),
    ("glance", "quick_check"),
    ("go_back", "rollback"),
    ("goes_back", "rollback"),
    ("patience", "timeouts"),
    ("stories", "conformance_tests"),
    ("until_it_ends", "Execution"),
];

/// No identifier and no file of the host has a forbidden name.
pub fn of_the_field(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with("host/"))
    {
        let folders = file.path.split('/').map(|name| name.trim_end_matches(".rs"));
        for (name, instead) in folders.filter_map(|folder| NAMES.iter().find(|(name, _)| is(folder, name))) {
            complaints.push(format!("{}: `{name}`: say `{instead}`", file.path));
        }
        for (index, line) in scan(&file.text).into_iter().enumerate() {
            let names = line.code.split(|c: char| !c.is_alphanumeric() && c != '_');
            for (name, instead) in names.filter_map(|used| NAMES.iter().find(|(name, _)| *name == used)) {
                complaints.push(format!("{}:{}: `{name}`: say `{instead}`", file.path, index + 1));
            }
        }
    }
    complaints
}

/// Whether a file or folder has the name of a type or a function.
fn is(folder: &str, name: &str) -> bool {
    folder == name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn a_name_is_found_as_a_whole_and_in_code_only() {
        let files = [
            file(
                "host/src/turns.rs",
                "struct Turns; // Stamina\nlet text = \"Course\";\n",
            ),
            file(
                "host/src/a.rs",
                "fn course() {}\nuse super::Course;\nstruct Tracks(Concourse);\n",
            ),
            file("lab/turns.rs", "struct Turns;\n"),
        ];
        assert_eq!(
            of_the_field(&files),
            [
                "host/src/turns.rs: `Turns`: say `RunQueues`",
                "host/src/turns.rs:1: `Turns`: say `RunQueues`",
                "host/src/a.rs:2: `Course`: say `Placement`",
            ]
        );
    }
}
