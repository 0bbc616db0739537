//! Measures other hosts, if they are installed, with the same work: JSON in, JSON out.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::{Bar, Measured};
use serde_json::json;

use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::{self, Found, ORDER, TENANT};
use crate::traffic::{Generator, Repeated};

const CONNECTIONS: usize = 32;

/// A worker for workerd that does the plugin's work: one warm isolate for all requests.
const WORKER: &str = "export default {
  async fetch(request) {
    const order = await request.json();
    order.quantity += 1;
    return Response.json(order);
  },
};
";

/// The pool settings of this host (`runtime/engine.rs`) for `wasmtime serve`, which also creates a
/// fresh instance for each request.
const OUR_POOL: [&str; 14] = [
    "-O",
    "pooling-allocator=y",
    "-O",
    "pooling-pagemap-scan=auto",
    "-O",
    "pooling-memory-keep-resident=524288",
    "-O",
    "pooling-table-keep-resident=16384",
    "-O",
    "pooling-async-stack-keep-resident=32768",
    "-O",
    "pooling-max-unused-warm-slots=1024",
    "-O",
    "pooling-decommit-batch-size=1",
];

/// A host to compare with.
struct Candidate {
    name: &'static str,
    /// The executable, on the `PATH`.
    executable: &'static str,
    /// The wanted factor by which this host is faster.
    bar: f64,
    /// The command that starts it on an address, with files in a folder.
    command: fn(&Path, SocketAddr) -> Result<Command>,
}

const CANDIDATES: [Candidate; 3] = [
    Candidate {
        name: "wasmtime serve, our pool",
        executable: "wasmtime",
        bar: 1.4,
        command: |_, address| Ok(wasmtime_serve(&OUR_POOL, address)),
    },
    Candidate {
        name: "wasmtime serve, its defaults",
        executable: "wasmtime",
        bar: 4.0,
        command: |_, address| Ok(wasmtime_serve(&[], address)),
    },
    Candidate {
        name: "workerd",
        executable: "workerd",
        bar: 2.0,
        command: workerd,
    },
];

/// A running other host. It ends when this is dropped.
struct Peer {
    candidate: &'static Candidate,
    child: Child,
    address: SocketAddr,
}

/// Runs the measurement.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path())?;
    say("peers:\n");
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for candidate in &CANDIDATES {
        match candidate.is_found() {
            true => peers.push(candidate.start(folder.path())?),
            false => missing.push(candidate.name),
        }
    }
    if !missing.is_empty() {
        say(&format!("  not found: {}\n", missing.join("; ")));
    }
    if peers.is_empty() {
        return Ok(Found {
            bars: Vec::new(),
            raw: json!({ "not_found": missing }),
        });
    }
    let host = subject::launch(options).start()?;
    let tenant = subject::tenant(&host, TENANT)?;
    let mut requests = vec![subject::everything(&host, &tenant)?.order()];
    requests.extend(peers.iter().map(Peer::order));
    let span = Duration::from_secs(options.scaled(2, 5));
    let mut speeds = vec![Series::default(); requests.len()];
    for round in 0..=options.scaled(2, 5) {
        for (request, series) in requests.iter().zip(&mut speeds) {
            let speed = generator.run(request, CONNECTIONS, span)?;
            // The first round warms up.
            if round > 0 {
                series.push(speed.per_second);
            }
        }
    }
    host.stop()?;
    let ours = &speeds[0];
    say(&format!("  {:<30} {:>8.0}/s\n", "everything on", ours.median()));
    let mut raw = vec![json!({ "name": "everything on", "per_second": ours })];
    let mut bars = Vec::new();
    for (Peer { candidate, .. }, theirs) in peers.iter().zip(&speeds[1..]) {
        say(&format!("  {:<30} {:>8.0}/s\n", candidate.name, theirs.median()));
        raw.push(json!({ "name": candidate.name, "per_second": theirs }));
        let ratio = ours.over(theirs);
        let (least, most) = ratio.spread();
        let bar = Measured::new(
            &format!("everything on / {}", candidate.name),
            ratio.median(),
            Bar::AtLeast(candidate.bar),
        );
        bars.push(bar.note(format!("{least:.2} to {most:.2}")));
    }
    Ok(Found {
        bars,
        raw: json!({ "speeds": raw, "not_found": missing }),
    })
}

impl Candidate {
    fn is_found(&self) -> bool {
        Command::new(self.executable).arg("--version").output().is_ok()
    }

    fn start(&'static self, folder: &Path) -> Result<Peer> {
        // The port was free a moment ago, and nothing else here takes ports meanwhile.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = (self.command)(folder, address)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} starts", self.name))?;
        let mut peer = Peer {
            candidate: self,
            child,
            address,
        };
        rig::clock::until(&format!("the start of {}", self.name), || {
            anyhow::ensure!(
                peer.child.try_wait()?.is_none(),
                "{} ended at once; does this version know its options?",
                self.name
            );
            Ok(TcpStream::connect(address).ok().map(drop))
        })?;
        Ok(peer)
    }
}

impl Peer {
    fn order(&self) -> Repeated {
        Repeated {
            address: self.address,
            paths: vec!["/orders".to_owned()],
            headers: Vec::new(),
            body: Some(ORDER.to_owned()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wasmtime_serve(options: &[&str], address: SocketAddr) -> Command {
    let mut command = Command::new("wasmtime");
    command
        .arg("serve")
        // The guest's Rust runtime reads the environment at its start.
        .args(["-S", "cli"])
        .args(options)
        .arg("--addr")
        .arg(address.to_string())
        .arg(test_artifacts::BENCH_WASI_HTTP);
    command
}

fn workerd(folder: &Path, address: SocketAddr) -> Result<Command> {
    std::fs::write(folder.join("worker.js"), WORKER)?;
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n\
         \x20 services = [(name = \"main\", worker = (\n\
         \x20   modules = [(name = \"worker.js\", esModule = embed \"worker.js\")],\n\
         \x20   compatibilityDate = \"2025-01-01\"))],\n\
         \x20 sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")]);\n"
    );
    let file = folder.join("workerd.capnp");
    std::fs::write(&file, config)?;
    let mut command = Command::new("workerd");
    command.arg("serve").arg(file);
    Ok(command)
}
