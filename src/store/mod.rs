//! The built-in trace store: what a run uses where there is no Tempo, and what
//! tests use as a target whose behaviour is known exactly. It takes OTLP over
//! gRPC and HTTP, answers Tempo's HTTP API with the TraceQL that the query
//! script needs, and counts under Tempo's names. It keeps everything in memory
//! and forgets the oldest traces at a limit.
//!
//! It is not Tempo: its version says so, and it differs where waiting makes no
//! sense. A trace is visible by ID and by search as soon as its push has been
//! answered, there are no tenants, and nothing is ever written to disk.

mod api;
mod batch;
mod command;
mod encoding;
mod facts;
mod faults;
mod fragment;
mod hex;
mod json;
mod metrics;
mod otlp_grpc;
mod otlp_http;
mod parameters;
mod receiver;
mod search;
mod server;
mod table;
mod tags;
mod traceql;
mod view;
mod wire;

pub use command::{TraceStoreArgs, run};
pub use faults::{Fault, TOKEN};
pub use receiver::RateLimit;
pub use server::{RunningStore, StoreAddresses, StoreError, StoreOptions, start};

/// What the store calls itself wherever Tempo tells its version.
pub const VERSION: &str = concat!("tempo-perf-trace-store-", env!("CARGO_PKG_VERSION"));
