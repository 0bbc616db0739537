//! Other hosts, where their executables are found, with the same work: JSON in, JSON out.

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

/// A worker of workerd that does what the plugin does: one warm isolate for all requests.
const WORKER: &str = "export default {
  async fetch(request) {
    const order = await request.json();
    order.quantity += 1;
    return Response.json(order);
  },
};
";

/// Another host, running. It ends when this is dropped.
struct Peer {
    child: Child,
    address: SocketAddr,
}

/// Measures it.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path());
    say("peers:\n");
    let Some(workerd) = workerd(folder.path())? else {
        say("  workerd was not found\n");
        return Ok(Found {
            bars: Vec::new(),
            raw: json!({ "not_found": ["workerd"] }),
        });
    };
    let host = subject::launch(options).start()?;
    let tenant = subject::tenant(&host, TENANT)?;
    let mine = subject::everything(&host, &tenant)?.order();
    let its = Repeated {
        address: workerd.address,
        paths: vec!["/orders".to_owned()],
        headers: Vec::new(),
        body: Some(ORDER.to_owned()),
    };
    let span = Duration::from_secs(options.scaled(2, 5));
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for round in 0..=options.scaled(2, 5) {
        for (request, series) in [(&mine, &mut ours), (&its, &mut theirs)] {
            let speed = generator.run(request, CONNECTIONS, span)?;
            if round > 0 {
                series.push(speed.per_second);
            }
        }
    }
    host.stop()?;
    let ratio = ours.over(&theirs);
    say(&format!(
        "  everything on {:.0}/s, workerd {:.0}/s\n",
        ours.median(),
        theirs.median()
    ));
    Ok(Found {
        bars: vec![Measured::new(
            "everything on / workerd",
            ratio.median(),
            Bar::AtLeast(2.0),
        )],
        raw: json!({ "mortise": ours, "workerd": theirs }),
    })
}

/// workerd, where it is found.
fn workerd(folder: &Path) -> Result<Option<Peer>> {
    if Command::new("workerd").arg("--version").output().is_err() {
        return Ok(None);
    }
    // Free a moment ago; nothing else here takes ports meanwhile.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
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
    let child = Command::new("workerd")
        .arg("serve")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("workerd starts")?;
    let peer = Peer { child, address };
    rig::clock::until("the start of workerd", || {
        Ok(TcpStream::connect(peer.address).ok().map(drop))
    })?;
    Ok(Some(peer))
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
