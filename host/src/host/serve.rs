//! Running a host: its threads, its listeners, its signals.
//!
//! Three sets of threads. The control threads accept connections, serve the admin API and write records; no plugin ever
//! runs on them. The plugin threads serve the public connections, each request where its instance runs, without a hop in
//! between. Plugins that run for longer than a tick, and SQL, go on in the background. The system prefers the first to
//! the second and the second to the third, so that what is short interrupts what is long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use scheduling::Scheduling;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Host, OpenError};
use crate::config::{Config, ServerSection};
use crate::domain::clock::SystemClock;
use crate::server::{ConnectionLimits, ListenError, Listener, Patience, descriptors};

/// Threads for everything but plugins. They wait most of the time.
const CONTROL_THREADS: usize = 2;

/// What the threads in front ask for: to be run as soon as they wake up. A request takes less than this.
const FRONT_SLICE: Duration = Duration::from_micros(100);

/// What those in the background are content with: what others leave. Where both want a processor for good, they get about
/// a thirtieth of it beside threads in front of the default `nice` (sched(7), "The nice value"). With longer slices, one that
/// owes others a lock of the address space waits too long behind its like.
const BACKGROUND: Scheduling = Scheduling {
    nice: 15,
    slice: Duration::from_millis(3),
};

/// Tasks that a thread runs before it looks at its sockets again. With tokio's 61, a few tasks that use up their turns
/// make everybody else wait for 61 turns.
const EVENT_INTERVAL: u32 = 8;

/// The public and the admin one.
const LISTENERS: u32 = 2;

/// How often old records are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The first Linux whose page map can be scanned.
const PAGE_MAP_SCAN: (u32, u32) = (6, 7);

/// Why a host does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system gives no threads or no signals.
    #[error("cannot start the threads of the host: {0}")]
    Threads(std::io::Error),
    /// The executable does not know where it is.
    #[error("cannot find the executable of the host, which is also its compile worker: {0}")]
    Executable(std::io::Error),
    /// The host does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the host at once. `ready` is told the addresses
/// once callers can connect.
pub fn run(config: &Config, ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    descriptors::raise();
    keep_pages_small();
    let worker = std::env::current_exe().map_err(ServeError::Executable)?;
    let control = threads("mortise-control", CONTROL_THREADS)
        .build()
        .map_err(ServeError::Threads)?;
    let plugins = |name, scheduling| {
        threads(name, config.runtime.threads())
            .on_thread_start(move || stand_back(scheduling))
            .build()
            .map_err(ServeError::Threads)
    };
    let front = Scheduling {
        nice: config.runtime.nice,
        slice: FRONT_SLICE,
    };
    let front = plugins("mortise-plugin", front)?;
    let background = Scheduling {
        nice: BACKGROUND.nice.max(config.runtime.nice),
        ..BACKGROUND
    };
    let background = plugins("mortise-background", background)?;
    warn_without_page_map_scan();
    let result = control.block_on(serve(config, worker, &front, &background, ready));
    front.shutdown_background();
    background.shutdown_background();
    control.shutdown_background();
    result
}

/// A host that callers can connect to.
pub struct Ready {
    /// The address for API consumers.
    pub public: std::net::SocketAddr,
    /// The address for operators and customers.
    pub admin: std::net::SocketAddr,
    /// The file of the operator's first token.
    pub operator_token: PathBuf,
}

async fn serve(
    config: &Config,
    worker: PathBuf,
    plugins: &Runtime,
    background: &Runtime,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    // Listening comes first: a port in use is said before anything is opened.
    let limits = connection_limits(&config.server);
    let public = Listener::bind(config.server.public, limits).await?;
    let admin = Listener::bind(config.server.admin, limits).await?;
    let background = background.handle().clone();
    let host = Arc::new(Host::open(config, worker, background, Arc::new(SystemClock)).await?);
    host.listens_at(public.address());
    let told_to_stop = stop_on_signal().map_err(ServeError::Threads)?;
    let stop = CancellationToken::new();
    tokio::spawn(prune(host.clone()));
    ready(&Ready {
        public: public.address(),
        admin: admin.address(),
        operator_token: host.operator_token().to_owned(),
    });

    let drain = config.server.drain_timeout.0;
    let control = tokio::runtime::Handle::current();
    let draining = async {
        told_to_stop.cancelled().await;
        tracing::info!("draining: not ready any more; requests under way finish");
        host.start_draining();
        tokio::time::sleep(config.server.drain_delay.0).await;
        stop.cancel();
    };
    tokio::join!(
        public.serve(
            host.public_router(),
            plugins.handle().clone(),
            told_to_stop.clone(),
            stop.clone(),
            drain,
            host.connections().public.clone(),
        ),
        admin.serve(
            host.admin_router(),
            control,
            told_to_stop.clone(),
            stop.clone(),
            drain,
            host.connections().admin.clone(),
        ),
        draining,
    );
    host.close().await;
    tracing::info!("the host has stopped");
    Ok(())
}

/// What the configuration lets connections take, and the descriptors of this process.
fn connection_limits(server: &ServerSection) -> ConnectionLimits {
    ConnectionLimits {
        connections: descriptors::connections(server.connections, LISTENERS, descriptors::limit()),
        per_address: server.connections_per_address,
        patience: Patience {
            header: server.header_timeout.0,
            keep_alive: server.keep_alive.0,
            idle: server.idle_timeout.0,
            write: server.write_timeout.0,
            age: server.connection_age.0,
        },
    }
}

fn threads(name: &str, count: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(count)
        .thread_name(name)
        .event_interval(EVENT_INTERVAL)
        .enable_all();
    builder
}

/// Lets other work go before this thread's: what accepts, refuses and keeps watch must not wait for guests.
fn stand_back(scheduling: Scheduling) {
    if let Err(error) = scheduling.apply() {
        tracing::warn!(%error, ?scheduling, "a plugin thread keeps its priority");
    }
}

/// Cancelled at the first signal. The second one ends the process.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        stopped.cancel();
        next().await;
        tracing::warn!("stopping at once: requests under way are cut off");
        std::process::exit(130);
    });
    Ok(stop)
}

async fn prune(host: Arc<Host>) {
    let mut interval = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        interval.tick().await;
        host.prune().await;
    }
}

/// The first touch of a huge page clears all of its 2 MiB, and the thread that touches it serves nobody meanwhile. Allocators
/// ask for huge pages and some systems give them unasked. The host's own children have small ones as well.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "the system may give huge pages, which make requests wait now and then");
    }
}

/// Without it each request gives its memory back by system calls that stop all threads for a moment.
fn warn_without_page_map_scan() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < PAGE_MAP_SCAN {
        tracing::warn!(
            kernel = release.trim(),
            "Linux 6.7 or newer runs plugins faster: it can scan the page map"
        );
    }
}
