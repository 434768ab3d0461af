//! Starting and stopping the store.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use super::api::{self, Api};
use super::faults::{Fault, Faults};
use super::metrics::Metrics;
use super::otlp_grpc::TraceService;
use super::otlp_http;
use super::receiver::{RateLimit, Receiver};
use super::table::Table;
use crate::error_chain::chain;

/// How long requests in flight may take once the store is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Windows of HTTP/2: a collector sends megabytes at once on one connection.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Tempo's HTTP API. Port 0 takes a free one, here and below.
    pub http: SocketAddr,
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
    /// Bytes of memory that traces may take, indexes included.
    pub memory_limit: usize,
    pub rate_limit: Option<RateLimit>,
    /// For tests of the harness.
    pub faults: Vec<Fault>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            http: any_port,
            otlp_grpc: any_port,
            otlp_http: any_port,
            memory_limit: 512 << 20,
            rate_limit: None,
            faults: Vec::new(),
        }
    }
}

/// Where the store listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoreAddresses {
    pub http: SocketAddr,
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot listen on {address} for {purpose}")]
    Listen {
        purpose: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot register the trace store's metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("the trace store's server for {purpose} failed: {message}")]
    Serve {
        purpose: &'static str,
        message: String,
    },
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot write the trace store's addresses to stdout")]
    Announce(#[source] std::io::Error),
}

type Served = JoinHandle<Result<(), String>>;

/// A store that answers until it is shut down or dropped.
#[derive(Debug)]
pub struct RunningStore {
    pub addresses: StoreAddresses,
    stop: CancellationToken,
    servers: Vec<(&'static str, Served)>,
}

/// Starts a store; it listens when this returns.
///
/// # Errors
/// When an address cannot be bound.
pub async fn start(options: StoreOptions) -> Result<RunningStore, StoreError> {
    let (http, http_address) = listen("HTTP", options.http).await?;
    let (grpc, grpc_address) = listen("OTLP/gRPC", options.otlp_grpc).await?;
    let (otlp, otlp_address) = listen("OTLP/HTTP", options.otlp_http).await?;

    let table = Arc::new(Table::new(options.memory_limit));
    let metrics = Arc::new(Metrics::new()?);
    let receiver = Arc::new(Receiver::new(
        Arc::clone(&table),
        Arc::clone(&metrics),
        options.rate_limit,
        Faults::new(options.faults),
    ));
    let stop = CancellationToken::new();

    let api = Router::new()
        .fallback(api::handle)
        .with_state(Arc::new(Api { table, metrics }));
    let otlp_http = Router::new()
        .fallback(otlp_http::handle)
        .with_state(Arc::clone(&receiver));
    let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
    let grpc = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_with_incoming_shutdown(
            TraceService::new(receiver),
            incoming,
            stop.clone().cancelled_owned(),
        );
    let grpc = async { grpc.await.map_err(|error| chain(&error)) };
    Ok(RunningStore {
        addresses: StoreAddresses {
            http: http_address,
            otlp_grpc: grpc_address,
            otlp_http: otlp_address,
        },
        servers: vec![
            ("HTTP", tokio::spawn(serve(http, api, stop.clone()))),
            ("OTLP/gRPC", tokio::spawn(grpc)),
            (
                "OTLP/HTTP",
                tokio::spawn(serve(otlp, otlp_http, stop.clone())),
            ),
        ],
        stop,
    })
}

async fn listen(
    purpose: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StoreError> {
    let failed = |source| StoreError::Listen {
        purpose,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), String>> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    async { server.await.map_err(|error| chain(&error)) }
}

impl RunningStore {
    /// Takes no more requests and lets those in flight finish, for at most two
    /// seconds.
    ///
    /// # Errors
    /// When a server had failed.
    pub async fn shutdown(mut self) -> Result<(), StoreError> {
        self.stop.cancel();
        let deadline = Instant::now() + GRACE;
        let mut result = Ok(());
        for (purpose, server) in &mut self.servers {
            match tokio::time::timeout_at(deadline, &mut *server).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(message))) => result = Err(StoreError::Serve { purpose, message }),
                Ok(Err(error)) => {
                    let message = error.to_string();
                    result = Err(StoreError::Serve { purpose, message });
                }
                // A connection that a client keeps open ends with its server.
                Err(_) => server.abort(),
            }
        }
        result
    }
}

impl Drop for RunningStore {
    fn drop(&mut self) {
        self.stop.cancel();
        for (_, server) in &self.servers {
            server.abort();
        }
    }
}
