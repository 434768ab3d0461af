//! What the test binary does inside a pod: it is the program of the stand-in's
//! image (`component NAME …`), and behaves like one of Tempo's components.

mod serve;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tempo_perf::error_chain::chain;
use tempo_perf_trace_store::{RateLimit, RunningStore, StoreOptions, start};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use serve::OwnMetrics;

/// Ports of Tempo as its operator sets them.
pub const HTTP: u16 = 3200;
pub const READY: u16 = 3101;
pub const OTLP_GRPC: u16 = 4317;
pub const OTLP_HTTP: u16 = 4318;
/// The HTTP API behind the one with mutual TLS; Tempo has no such port.
pub const INTERNAL: u16 = 13200;

/// Where the operator mounts certificates.
pub const CERTIFICATE_DIR: &str = "/var/run/tls/server";
pub const CA_DIR: &str = "/var/run/ca";
pub const CA_FILE: &str = "service-ca.crt";

/// Bytes of memory that the container may use, from the downward API.
pub const MEMORY_VARIABLE: &str = "STAND_IN_MEMORY_LIMIT";
/// The store's own limit is this part of the container's: the rest is for
/// requests in flight and for what an allocator keeps.
const MEMORY_SHARE: u64 = 2;
/// More is of no use to a test.
const MEMORY_MAX: u64 = 512 << 20;

const OBJECT_STORE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(name = "component", no_binary_name = true)]
struct Invocation {
    /// Ends with an error unless something listens at this `host:port`
    #[arg(long)]
    object_store: Option<String>,
    #[command(subcommand)]
    component: Component,
}

#[derive(Debug, Subcommand)]
enum Component {
    /// All of Tempo, as of a TempoMonolithic
    TempoMonolithic(Store),
    /// Takes traces, and keeps them: there is no other store in the stand-in
    Distributor(Store),
    /// Passes queries on to the distributor's store
    QueryFrontend {
        /// The store's HTTP API
        #[arg(long)]
        store: Url,
    },
    Ingester,
    Querier,
    Compactor,
    /// Ends at once with exit code 1, as Tempo does with a bad configuration
    Crash {
        message: String,
    },
}

#[derive(Debug, Args)]
struct Store {
    /// Bytes per second above which pushes are refused
    #[arg(long)]
    rate_limit: u64,
    #[arg(long)]
    burst: u64,
    /// Answer 503 to readiness probes for ever
    #[arg(long)]
    never_ready: bool,
}

/// Runs the component that `args` name until SIGTERM.
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    let invocation = match Invocation::try_parse_from(args) {
        Ok(invocation) => invocation,
        Err(err) => {
            eprintln!("{err}");
            return ExitCode::from(2);
        }
    };
    let served = tokio::runtime::Runtime::new()
        .map_err(|err| format!("cannot start a runtime: {err}"))
        .and_then(|runtime| runtime.block_on(until_terminated(invocation)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("level=error msg=\"{message}\"");
            ExitCode::FAILURE
        }
    }
}

async fn until_terminated(invocation: Invocation) -> Result<(), String> {
    // PID 1 of a container ignores every signal that it has no handler for.
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|err| format!("cannot listen for signals: {err}"))?;
    if let Some(object_store) = invocation.object_store {
        find_object_store(&object_store).await?;
    }
    let store = start_component(invocation.component).await?;
    eprintln!("level=info msg=\"the stand-in for Tempo started\"");
    terminate.recv().await;
    match store {
        Some(store) => store.shutdown().await.map_err(|err| chain(&err)),
        None => Ok(()),
    }
}

/// Tempo needs its object store at start; nothing of it is used here.
async fn find_object_store(address: &str) -> Result<(), String> {
    let failed = |err: &dyn std::fmt::Display| {
        format!("error running Tempo: failed to create store: {address}: {err}")
    };
    match tokio::time::timeout(OBJECT_STORE_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(err)) => Err(failed(&err)),
        Err(err) => Err(failed(&err)),
    }
}

async fn start_component(component: Component) -> Result<Option<RunningStore>, String> {
    match component {
        Component::Crash { message } => Err(message),
        Component::TempoMonolithic(options) => {
            let store = start_store(&options, HTTP).await?;
            serve::plain(any(READY), serve::readiness(!options.never_ready)).await?;
            Ok(Some(store))
        }
        Component::Distributor(options) => {
            let store = start_store(&options, INTERNAL).await?;
            behind_tls(!options.never_ready).await?;
            Ok(Some(store))
        }
        Component::QueryFrontend { store } => {
            serve::plain(any(HTTP), serve::query_frontend(OwnMetrics::new()?, store)?).await?;
            Ok(None)
        }
        Component::Ingester | Component::Querier | Component::Compactor => {
            serve::plain(local(INTERNAL), serve::metrics(OwnMetrics::new()?)).await?;
            behind_tls(true).await?;
            Ok(None)
        }
    }
}

async fn start_store(options: &Store, http: u16) -> Result<RunningStore, String> {
    let limit = std::env::var(MEMORY_VARIABLE).unwrap_or_default();
    let limit: u64 = limit
        .parse()
        .map_err(|_| format!("{MEMORY_VARIABLE}={limit:?} is no number of bytes"))?;
    let options = StoreOptions {
        http: any(http),
        otlp_grpc: any(OTLP_GRPC),
        otlp_http: any(OTLP_HTTP),
        memory_limit: usize::try_from((limit / MEMORY_SHARE).min(MEMORY_MAX)).unwrap_or(usize::MAX),
        rate_limit: Some(RateLimit {
            bytes_per_second: options.rate_limit,
            burst: options.burst,
        }),
        faults: Vec::new(),
    };
    start(options).await.map_err(|err| chain(&err))
}

/// Tempo's API with mutual TLS and the readiness that kubelets ask for, which
/// have no certificate.
async fn behind_tls(ready: bool) -> Result<(), String> {
    let certificates = Path::new(CERTIFICATE_DIR);
    let ca = Path::new(CA_DIR).join(CA_FILE);
    let mutual = tls::server_config(certificates, Some(&ca))?;
    tls::spawn_front(listen(any(HTTP)).await?, mutual, local(INTERNAL));

    let behind = serve::plain(local(0), serve::readiness(ready)).await?;
    let one_way = tls::server_config(certificates, None)?;
    tls::spawn_front(listen(any(READY)).await?, one_way, behind);
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|err| format!("cannot listen on {address}: {err}"))
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
