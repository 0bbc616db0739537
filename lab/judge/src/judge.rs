//! The judges: independent programs and libraries, each started by a small script in `programs/`.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::options::Options;
use crate::stage::Stage;

/// A file of `programs/`. It is embedded, so that the executable does not need the repository.
macro_rules! program {
    ($name:literal) => {
        Script {
            name: $name,
            text: include_str!(concat!("../programs/", $name)),
        }
    };
}

/// The runtime of a script.
#[derive(Clone, Copy)]
enum Runtime {
    Node,
    Python,
    Shell,
}

/// A script that runs an independent program.
#[derive(Clone, Copy)]
struct Script {
    name: &'static str,
    text: &'static str,
}

pub struct Judge {
    pub name: &'static str,
    runtime: Runtime,
    script: Script,
}

/// All judges. A script reads its input from `told.json`, writes a line for each complaint, and
/// exits with 0 if there is none. Its last line is a summary.
pub const JUDGES: [Judge; 13] = [
    Judge {
        name: "node-agent",
        runtime: Runtime::Node,
        script: program!("node_agent.mjs"),
    },
    Judge {
        name: "node-fetch",
        runtime: Runtime::Node,
        script: program!("node_fetch.mjs"),
    },
    Judge {
        name: "http.client",
        runtime: Runtime::Python,
        script: program!("http_client.py"),
    },
    Judge {
        name: "urllib",
        runtime: Runtime::Python,
        script: program!("urllib_request.py"),
    },
    Judge {
        name: "requests",
        runtime: Runtime::Python,
        script: program!("requests_session.py"),
    },
    Judge {
        name: "httpx",
        runtime: Runtime::Python,
        script: program!("httpx_client.py"),
    },
    Judge {
        name: "curl",
        runtime: Runtime::Python,
        script: program!("curl.py"),
    },
    Judge {
        name: "openapi-typescript",
        runtime: Runtime::Shell,
        script: program!("openapi_typescript.sh"),
    },
    Judge {
        name: "stripe",
        runtime: Runtime::Node,
        script: program!("stripe_webhooks.mjs"),
    },
    Judge {
        name: "standardwebhooks-npm",
        runtime: Runtime::Node,
        script: program!("standard_webhooks.mjs"),
    },
    Judge {
        name: "octokit-webhooks",
        runtime: Runtime::Node,
        script: program!("octokit_webhooks.mjs"),
    },
    Judge {
        name: "standardwebhooks-pypi",
        runtime: Runtime::Python,
        script: program!("standard_webhooks.py"),
    },
    Judge {
        name: "aiosmtpd",
        runtime: Runtime::Python,
        script: program!("aiosmtpd_server.py"),
    },
];

/// The shared code of the scripts of each language.
const SHARED: [Script; 5] = [
    program!("clients.mjs"),
    program!("clients.py"),
    program!("client.ts"),
    program!("webhooks.mjs"),
    program!("webhooks.py"),
];

/// The result of a judge.
pub struct Verdict {
    name: &'static str,
    /// Whether it has no complaints.
    pub is_content: bool,
    last: String,
}

impl Judge {
    /// Runs the judge and prints its output.
    pub fn run(&self, stage: &Stage, options: &Options) -> Result<Verdict> {
        let folder = TempDir::with_prefix("mortise-judge-")?;
        for script in SHARED.iter().chain([&self.script]) {
            std::fs::write(folder.path().join(script.name), script.text)?;
        }
        std::fs::write(folder.path().join("told.json"), &stage.told)?;
        std::fs::write(folder.path().join("openapi.json"), &stage.openapi)?;
        // Programs search for their packages in the script's folder.
        std::os::unix::fs::symlink(
            options.packages.join("node_modules"),
            folder.path().join("node_modules"),
        )?;
        let output = self
            .command(options, folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("{} cannot be started", self.name))?;
        stage.check()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        let (last, complaints) = match lines.split_last() {
            Some((last, complaints)) => ((*last).to_owned(), complaints),
            None => (format!("said nothing ({})", output.status), &[][..]),
        };
        for complaint in complaints {
            crate::say(&format!("  {complaint}"));
        }
        Ok(Verdict {
            name: self.name,
            is_content: output.status.success(),
            last,
        })
    }

    fn command(&self, options: &Options, folder: &Path) -> Command {
        let program = match self.runtime {
            Runtime::Node => "node".into(),
            Runtime::Python => options.packages.join("python/bin/python"),
            Runtime::Shell => "sh".into(),
        };
        let mut command = Command::new(program);
        command.arg(folder.join(self.script.name)).current_dir(folder);
        command
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = if self.is_content { "content" } else { "COMPLAINS" };
        write!(f, "{:<22} {content}: {}", self.name, self.last)
    }
}
