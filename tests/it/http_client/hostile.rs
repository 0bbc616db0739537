//! Tests of servers that send endless data: the plugin's call ends, its invocation is charged, and
//! other tenants are not affected.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::ECHO;
use tokio::time::Instant;

use super::deploy;
use crate::app::{App, Reply, open_manifest};

const INVOCATIONS: usize = 8;
const REQUESTS: usize = 6;

/// A server with its own threads that sends `first` and then `again`, until the client closes.
struct Flood {
    origin: String,
    stop: Arc<AtomicBool>,
}

impl Flood {
    fn start(first: &'static str, again: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || flood(stream.unwrap(), first, again));
            }
        });
        Self { origin, stop }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // This wakes up the accepting thread.
        let address = self.origin.trim_start_matches("http://");
        drop(TcpStream::connect(address));
    }
}

fn flood(mut stream: TcpStream, first: &str, again: &str) {
    let mut request = [0; 4 * 1024];
    if stream.read(&mut request).is_err() || stream.write_all(first.as_bytes()).is_err() {
        return;
    }
    let again = again.repeat(16 * 1024_usize.div_ceil(again.len()));
    while stream.write_all(again.as_bytes()).is_ok() {}
}

async fn attack(app: &App, url: &str) -> Reply {
    let request = json!({ "url": url });
    let requests: Vec<&Value> = std::iter::repeat_n(&request, REQUESTS).collect();
    let call = app
        .post("/acme/client/start")
        .json(&json!({ "requests": requests }));
    call.send().await.expect(200)
}

/// Fault X17: eight invocations with six requests each, to a server whose response never begins or
/// never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn floods_end_with_a_limit_are_charged_and_disturb_no_other_tenant() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (first, again, reason) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n", "informational responses"),
        (chunked, "1\r\nx\r\n", "too many reads or chunks"),
        (chunked, "0", "framing"),
    ] {
        let app = App::configured(|config| {
            config.http_client.allow_loopback = true;
            // The attackers take half of the instances, so that no other request waits for one.
            config.runtime.instances = u32::try_from(2 * INVOCATIONS).unwrap();
        })
        .await;
        let server = Flood::start(first, again);
        let acme = deploy(&app, &[&server.origin], "").await;
        let good = app.tenant("good").await;
        good.deploy(ECHO, &open_manifest("echo", ""), &[]).await;

        let attacks = futures_util::future::join_all((0..INVOCATIONS).map(|_| attack(&app, &server.origin)));
        let bystander = async {
            let mut longest = Duration::ZERO;
            for _ in 0..50 {
                let began = Instant::now();
                app.get("/good/echo/x").send().await.expect(200);
                longest = longest.max(began.elapsed());
            }
            longest
        };
        let (replies, longest) = tokio::join!(attacks, bystander);
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        for reply in &replies {
            let answers = reply.json();
            for answer in answers.as_array().unwrap() {
                // A request that is rejected at once has no response.
                let error = answer[0]["error"].as_str().or(answer["error"].as_str());
                let error = error.unwrap_or_else(|| panic!("{answer}"));
                assert!(
                    error.contains("Error::Limit") && error.contains(reason)
                        // After five failures in a row the circuit opens, and the rest is not sent.
                        || error.contains("Error::CircuitOpen"),
                    "{error}"
                );
            }
        }
        let mut charged = 0;
        for reply in &replies {
            charged += acme.invocation(reply).await["usage"]["cpu_us"].as_u64().unwrap();
        }
        assert!(charged > 0);
        app.until_gauges(|gauges| gauges["outbound_requests"] == 0 && gauges["outbound_connections"] == 0)
            .await;
    }
}
