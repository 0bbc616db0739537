//! The options of the demo.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::run::root;
use crate::steps::Result;

/// Where the demo listens and keeps its data.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// The public listener.
    pub public: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The shop's ERP, which the demo plays.
    pub erp: SocketAddr,
}

impl Options {
    /// Reads `--data`, `--public`, `--admin` and `--erp`.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            data: root().join("mortise-data"),
            public: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            erp: SocketAddr::from(([127, 0, 0, 1], 8082)),
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            if matches!(name.as_str(), "--help" | "-h") {
                return Err(
                    "options: --data FOLDER, --public ADDRESS, --admin ADDRESS, --erp ADDRESS".to_owned(),
                );
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let address = || {
                value
                    .parse()
                    .map_err(|_| format!("{name}: `{value}` is no address such as 127.0.0.1:9080"))
            };
            match name.as_str() {
                "--data" => {
                    options.data = std::path::absolute(value).map_err(|error| format!("{name}: {error}"))?
                }
                "--public" => options.public = address()?,
                "--admin" => options.admin = address()?,
                "--erp" => options.erp = address()?,
                _ => {
                    return Err(format!(
                        "the demo knows no {name}; it knows --data, --public, --admin and --erp"
                    ));
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--public 127.0.0.1:9080 --data /tmp/demo").unwrap();
        assert_eq!((options.public.port(), options.admin.port()), (9080, 8081));
        assert_eq!(options.data, PathBuf::from("/tmp/demo"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse("--public").unwrap_err().contains("needs a value"));
        assert!(parse("--public localhost").unwrap_err().contains("is no address"));
        assert!(parse("--port 80").unwrap_err().contains("knows no --port"));
    }
}
