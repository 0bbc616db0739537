//! The shop's ERP, which the demo plays: it is busy at first, and rejects the orders of one
//! customer until it is repaired.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::mortise::{Built, Mortise};
use super::options::Options;
use crate::steps::Result;

/// The customer whose orders the ERP does not know how to handle.
pub const REJECTED: &str = "unknown@example.com";

/// The origin in the manifest of the plugin.
const ORIGIN: &str = "https://erp.example.com";

/// How long the ERP asks callers to wait while it is busy, in seconds.
const RETRY_AFTER: u32 = 1;

/// The running ERP. It ends with the process.
pub struct Erp(Arc<State>);

#[derive(Default)]
struct State {
    is_repaired: AtomicBool,
    /// How often each order came, by its idempotency key.
    seen: Mutex<BTreeMap<String, u32>>,
}

/// The URL of the ERP.
pub fn url(options: &Options) -> String {
    format!("http://{}/orders", options.erp)
}

/// Builds the plugin once more, with the demo's ERP in its manifest.
pub fn build(mortise: &Mortise, folder: &Path, target: &Path, options: &Options) -> Result<Built> {
    let copy = target.join("demo/orders");
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", copy.display());
    for inner in ["migrations", "schemas", "templates"] {
        fs::create_dir_all(copy.join(inner)).map_err(failed)?;
        for file in fs::read_dir(folder.join(inner)).map_err(failed)? {
            let file = file.map_err(failed)?;
            fs::copy(file.path(), copy.join(inner).join(file.file_name())).map_err(failed)?;
        }
    }
    let manifest = fs::read_to_string(folder.join("plugin.toml")).map_err(failed)?;
    let manifest = manifest.replace(ORIGIN, &format!("http://{}", options.erp));
    fs::write(copy.join("plugin.toml"), manifest).map_err(failed)?;
    // `mortise build` has just compiled it.
    let component = target.join("wasm32-wasip2/release/orders.wasm");
    mortise.build_with(&copy, Some(&component), &target.join("demo/orders.wasm"))
}

impl Erp {
    /// Starts to listen.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            format!("the demo's ERP cannot listen on {address}: {error}; choose another address with `--erp`")
        })?;
        let state = Arc::new(State::default());
        let erp = Self(state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(|stream| stream.ok()) {
                // A caller that is gone gets no answer.
                let _ = state.answer(stream);
            }
        });
        Ok(erp)
    }

    /// From now on all orders are accepted.
    pub fn repair(&self) {
        self.0.is_repaired.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut key, mut length) = (String::new(), 0_u64);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => {
                    value.trim().clone_into(&mut key);
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap_or(0);
                }
                _ => {}
            }
        }
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        let head = match self.decide(key, &body) {
            503 => format!("503 Service Unavailable\r\nretry-after: {RETRY_AFTER}"),
            422 => "422 Unprocessable Content".to_owned(),
            _ => "201 Created".to_owned(),
        };
        write!(
            stream,
            "HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    }

    /// The status for an order.
    fn decide(&self, key: String, body: &str) -> u16 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let times = seen.entry(key).or_default();
        *times += 1;
        match (
            *times,
            body.contains(REJECTED),
            self.is_repaired.load(Ordering::SeqCst),
        ) {
            (1, ..) => 503,
            (_, true, false) => 422,
            _ => 201,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_erp_is_busy_at_first_and_rejects_a_customer_until_it_is_repaired() {
        let erp = Erp(Arc::default());
        let answers = |key: &str, email: &str| erp.0.decide(key.to_owned(), email);
        assert_eq!([answers("1", "ada"), answers("1", "ada")], [503, 201]);
        assert_eq!([answers("2", REJECTED), answers("2", REJECTED)], [503, 422]);
        erp.repair();
        assert_eq!(answers("2", REJECTED), 201);
    }
}
