//! The open and closed loops: connections that send requests, on their own threads.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::Call;
use crate::connection::Connection;
use crate::pace::Pace;
use crate::precedence::Precedence;
use crate::report::{Fault, Report};

/// The default number of connections of an open loop, which is also the number of concurrent
/// requests.
const CONNECTIONS: usize = 64;

/// The default timeout of a response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests at a fixed rate.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    call: Call,
    rate: f64,
    duration: Duration,
    connections: usize,
    timeout: Duration,
    precedence: Precedence,
}

/// Requests as fast as they are answered.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    call: Call,
    connections: usize,
    duration: Duration,
    timeout: Duration,
}

/// A running load.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

impl OpenLoop {
    /// Sends `rate` requests per second for `duration`.
    pub fn new(call: Call, rate: f64, duration: Duration) -> Self {
        Self {
            call,
            rate,
            duration,
            connections: CONNECTIONS,
            timeout: TIMEOUT,
            precedence: Precedence::Beside,
        }
    }

    /// Sets the number of concurrent requests. Further requests wait for a connection, and this
    /// time counts as latency.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long a response may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives its callers precedence over everything else on this machine, if the system allows it.
    /// It is for few requests, which should not wait for a processor that real callers would have
    /// for themselves.
    #[must_use]
    pub fn first(mut self) -> Self {
        self.precedence = Precedence::First;
        self
    }

    /// Gives other loads and the server precedence. It is for background load whose own latencies
    /// do not matter.
    #[must_use]
    pub fn behind(mut self) -> Self {
        self.precedence = Precedence::Behind;
        self
    }

    /// Starts it.
    pub fn start(self) -> std::io::Result<Running> {
        Running::start("load-open", self.precedence, move |stop| self.drive(stop))
    }

    /// Runs it to its end.
    pub fn run(self) -> std::io::Result<Report> {
        Ok(self.start()?.join())
    }

    async fn drive(self, stop: Arc<AtomicBool>) -> Report {
        let Self {
            call,
            rate,
            duration,
            connections,
            timeout,
            precedence,
        } = self;
        let call = Arc::new(call);
        // All connections are opened before the first request is due, because connecting is not
        // measured.
        let opened = open(&call, connections, timeout).await;
        let pace = Arc::new(Pace::new(Instant::now(), rate, duration));
        let keeper = {
            let (pace, stop) = (pace.clone(), stop.clone());
            std::thread::spawn(move || {
                precedence.apply();
                pace.keep(&stop);
            })
        };
        let begin = Instant::now();
        let mut report = all(opened, |mut connection| {
            let (pace, stop) = (pace.clone(), stop.clone());
            async move {
                let mut report = Report::default();
                // If the load is stopped, requests that are due but not sent are dropped: sending
                // them could take minutes.
                while !stop.load(Ordering::Relaxed)
                    && let Some(due) = pace.next().await
                {
                    let outcome = connection.send(Instant::now() + timeout).await;
                    report.record(outcome, due.elapsed());
                }
                report
            }
        })
        .await;
        // The thread only sleeps and counts, so its result is ignored.
        let _ = keeper.join();
        report.elapsed = begin.elapsed();
        report.miss(Fault::Unsent, pace.left());
        report
    }
}

impl ClosedLoop {
    /// Sends over `connections` connections for `duration`.
    pub fn new(call: Call, connections: usize, duration: Duration) -> Self {
        Self {
            call,
            connections,
            duration,
            timeout: TIMEOUT,
        }
    }

    /// How long a response may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts it.
    pub fn start(self) -> std::io::Result<Running> {
        Running::start("load-closed", Precedence::Beside, move |stop| self.drive(stop))
    }

    /// Runs it to its end.
    pub fn run(self) -> std::io::Result<Report> {
        Ok(self.start()?.join())
    }

    async fn drive(self, stop: Arc<AtomicBool>) -> Report {
        let Self {
            call,
            connections,
            duration,
            timeout,
        } = self;
        let call = Arc::new(call);
        let opened = open(&call, connections, timeout).await;
        let begin = Instant::now();
        let end = begin + duration;
        let mut report = all(opened, |mut connection| {
            let stop = stop.clone();
            async move {
                let mut report = Report::default();
                while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let outcome = connection.send(sent + timeout).await;
                    report.record(outcome, sent.elapsed());
                    if outcome.is_err() {
                        // The pause prevents a busy loop if the server is gone.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                report
            }
        })
        .await;
        report.elapsed = begin.elapsed();
        report
    }
}

impl Running {
    fn start<F: Future<Output = Report>>(
        name: &str,
        precedence: Precedence,
        drive: impl FnOnce(Arc<AtomicBool>) -> F + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            precedence.apply();
            runtime.block_on(drive(stopped))
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops the load: waits for running requests and sends no more. Returns its report.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits for its end and returns its report.
    ///
    /// # Panics
    ///
    /// If the load itself panicked.
    pub fn join(self) -> Report {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

async fn open(call: &Arc<Call>, connections: usize, timeout: Duration) -> Vec<Connection> {
    let deadline = Instant::now() + timeout;
    let mut opening = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::new(call.clone());
        opening.spawn(async move {
            connection.open(deadline).await;
            connection
        });
    }
    opening.join_all().await
}

/// Runs all connections and adds up their reports.
async fn all<F>(connections: Vec<Connection>, work: impl Fn(Connection) -> F) -> Report
where
    F: Future<Output = Report> + Send + 'static,
{
    let mut working = JoinSet::new();
    for connection in connections {
        working.spawn(work(connection));
    }
    let mut sum = Report::default();
    for report in working.join_all().await {
        sum.add(&report);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    /// A server that answers request number n with `answer(n)`, or closes the connection.
    fn server(answer: impl Fn(u64) -> Option<&'static str> + Send + Sync + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, asked, stream) = (answer.clone(), asked.clone(), stream.unwrap());
                std::thread::spawn(move || serve(stream, &*answer, &asked));
            }
        });
        address
    }

    fn serve(
        mut stream: TcpStream,
        answer: &(dyn Fn(u64) -> Option<&'static str> + Send + Sync),
        asked: &std::sync::atomic::AtomicU64,
    ) {
        let mut head = Vec::new();
        let mut part = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut part) {
            head.extend_from_slice(&part[..count]);
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                match answer(asked.fetch_add(1, Ordering::SeqCst)) {
                    Some(text) => stream.write_all(text.as_bytes()).unwrap(),
                    None => return,
                }
            }
        }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn a_load_that_is_ended_leaves_what_became_due_behind_a_slow_server() {
        let (slow, answered) = std::sync::mpsc::channel();
        let slow = std::sync::Mutex::new(slow);
        let address = server(move |_| {
            std::thread::sleep(Duration::from_millis(20));
            slow.lock().unwrap().send(()).ok()?;
            Some(OK)
        });
        let load = OpenLoop::new(Call::get(address, "/"), 10_000.0, Duration::from_secs(600)).connections(1);
        let running = load.start().unwrap();
        answered.iter().take(3).for_each(drop);
        let report = running.stop();
        // Thousands of requests are due by now, of which the server answers fifty per second.
        assert!(report.latency(200).count() < 1_000, "{report:?}");
        assert!(report.faults(Fault::Unsent) > 0, "{report:?}");
    }

    #[test]
    fn an_open_loop_sends_what_is_due() {
        let address = server(|number| Some(if number % 4 == 3 { FULL } else { OK }));
        let call = Call::get(address, "/");
        let report = OpenLoop::new(call, 400.0, Duration::from_millis(500))
            .connections(8)
            .run()
            .unwrap();
        let (served, refused) = (report.latency(200).count(), report.latency(503).count());
        // A machine that stalls may leave some unsent, which is reported.
        assert_eq!(served + refused + report.faults(Fault::Unsent), 200, "{report:?}");
        assert!(served > 0 && refused == (served + refused) / 4, "{report:?}");
        assert!(report.elapsed >= Duration::from_millis(490), "{report:?}");
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
        let address = server(|number| {
            if number == 10 {
                std::thread::sleep(Duration::from_millis(500));
            }
            Some(OK)
        });
        let report = OpenLoop::new(Call::get(address, "/"), 200.0, Duration::from_secs(1))
            .connections(1)
            .run()
            .unwrap();
        // About a hundred of 200 were due while the server stalled; a closed loop would have seen
        // one.
        assert!(
            report.latency(200).quantile(0.75) > Duration::from_millis(100),
            "{report:?}"
        );
    }

    #[test]
    fn a_connection_that_ends_is_a_fault_and_is_opened_again() {
        let address = server(|number| (number % 2 == 0).then_some(OK));
        let report = ClosedLoop::new(Call::get(address, "/"), 2, Duration::from_millis(300))
            .run()
            .unwrap();
        let (served, closed) = (report.latency(200).count(), report.faults(Fault::Closed));
        assert!(
            served > 0 && closed > 0 && served + closed == report.requests(),
            "{report:?}"
        );
    }

    #[test]
    fn nobody_there_is_a_fault() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let report = OpenLoop::new(Call::get(address, "/"), 100.0, Duration::from_millis(100))
            .run()
            .unwrap();
        let (refused, unsent) = (report.faults(Fault::Connect), report.faults(Fault::Unsent));
        assert!(refused > 0 && refused + unsent == 10, "{report:?}");
    }

    #[test]
    fn who_never_answers_is_given_up() {
        let address = server(|_| {
            std::thread::sleep(Duration::from_secs(3_600));
            None
        });
        let report = OpenLoop::new(Call::get(address, "/"), 20.0, Duration::from_millis(100))
            .timeout(Duration::from_millis(50))
            .run()
            .unwrap();
        let (given_up, unsent) = (report.faults(Fault::Timeout), report.faults(Fault::Unsent));
        assert!(given_up > 0 && given_up + unsent == 2, "{report:?}");
    }

    #[test]
    fn a_load_ends_when_it_is_told_to() {
        let address = server(|_| Some(OK));
        let hour = Duration::from_secs(3_600);
        let open = OpenLoop::new(Call::get(address, "/"), 100.0, hour)
            .start()
            .unwrap();
        let (requested, requests) = std::sync::mpsc::channel();
        let address = server(move |_| {
            // The receiver is gone at the end of the test.
            let _ = requested.send(());
            Some(OK)
        });
        let closed = ClosedLoop::new(Call::get(address, "/"), 1, hour).start().unwrap();
        // The second request is sent after the response to the first one.
        for _ in 0..2 {
            requests.recv().unwrap();
        }
        assert_eq!(open.stop().faults(Fault::Closed), 0);
        assert!(closed.stop().latency(200).count() > 0);
    }
}
