//! Runs a host: its threads, its listeners and its signal handlers.
//!
//! There are three sets of threads. Control threads accept connections, serve the admin API and
//! write records, but never run plugins. Plugin threads serve the public connections and run the
//! instance of each request. Background threads run SQL and plugins that need more than a tick.
//!
//! Their priorities fall in this order, so that short work interrupts long work.

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
use crate::fail_point;
use crate::server::{ConnectionLimits, ListenError, Listener, Timeouts, descriptors};

/// Threads for everything except plugins. They are mostly idle.
const CONTROL_THREADS: usize = 2;

/// The time slice of plugin threads. It is short, so that they run as soon as they wake up.
const FRONT_SLICE: Duration = Duration::from_micros(100);

/// The scheduling of background threads. Under contention they get about a thirtieth of a processor
/// beside plugin threads of the default `nice` (sched(7), "The nice value"). With longer slices, a
/// thread with a lock of the address space would keep others waiting too long.
const BACKGROUND: Scheduling = Scheduling {
    nice: 15,
    slice: Duration::from_millis(3),
};

/// Tasks that a thread runs before it polls its sockets. With tokio's default of 61, a few tasks
/// that use up their time slices would delay all sockets for 61 slices.
const EVENT_INTERVAL: u32 = 8;

/// The public and the admin listener.
const LISTENERS: u32 = 2;

/// How often old records are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The first Linux version with a page map that can be scanned.
const PAGE_MAP_SCAN: (u32, u32) = (6, 7);

/// Why a host stops with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Threads or signal handlers cannot be created.
    #[error("cannot start the threads of the host: {0}")]
    Threads(std::io::Error),
    /// A test names a fail point that does not exist.
    #[error(transparent)]
    FailPoint(#[from] fail_point::InvalidFailPoint),
    /// The path of the executable is unknown.
    #[error("cannot find the executable of the host, which is also its compile worker: {0}")]
    Executable(std::io::Error),
    /// The host cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the process at once. `ready`
/// is called with the addresses when callers can connect.
pub fn run(config: &Config, ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    fail_point::arm()?;
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

/// The addresses of a ready host.
pub struct Ready {
    /// The address for API consumers.
    pub public: std::net::SocketAddr,
    /// The address for operators and customers.
    pub admin: std::net::SocketAddr,
    /// The file with the operator's first token.
    pub operator_token: PathBuf,
}

async fn serve(
    config: &Config,
    worker: PathBuf,
    plugins: &Runtime,
    background: &Runtime,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    // Listening comes first, so that a port in use is reported before anything is opened.
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
        tracing::info!("draining: readiness is 503, and running requests finish");
        host.start_draining();
        tokio::time::sleep(config.server.drain_delay.0).await;
        stop.cancel();
    };
    let jobs = async {
        told_to_stop.cancelled().await;
        host.drain_jobs(drain).await;
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
        jobs,
    );
    host.close().await;
    tracing::info!("the host has stopped");
    Ok(())
}

/// Connection limits, from the configuration and from the file descriptors of this process.
fn connection_limits(server: &ServerSection) -> ConnectionLimits {
    ConnectionLimits {
        connections: descriptors::connections(server.connections, LISTENERS, descriptors::limit()),
        per_address: server.connections_per_address,
        timeouts: Timeouts {
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

/// Lowers the priority of a thread that runs guests, so that control threads run first.
fn stand_back(scheduling: Scheduling) {
    if let Err(error) = scheduling.apply() {
        tracing::warn!(%error, ?scheduling, "the scheduling of a plugin thread could not be changed");
    }
}

/// Returns a token that the first signal cancels. The second signal ends the process.
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
        tracing::warn!("stopping at once: running requests are aborted");
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

/// Disables transparent huge pages for the host and its children. The first access to one clears 2
/// MiB, and the accessing thread serves no request meanwhile. Allocators ask for huge pages, and
/// some systems use them by default.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "huge pages could not be disabled; requests may be delayed at times");
    }
}

/// Warns about an old kernel. Without the page map scan, requests release memory by system calls
/// that briefly stop all threads.
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
