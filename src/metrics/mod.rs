//! What Prometheus and `/metrics` say about a run: the client, the catalogue
//! of queries behind `{profile}-metrics.csv`, and raw counters.

mod availability;
mod catalogue;
mod collect;
mod csv_rows;
pub mod exposition;
mod prometheus_client;
mod query_answer;

use std::time::Duration;

pub use availability::availability_table;
pub use catalogue::{Catalogue, CatalogueError, CatalogueQuery, QueryKind, Variables};
pub use collect::{Collected, QueryOutcome, QueryResult, collect, step_for};
pub use csv_rows::{COLUMNS, write_csv};
pub use prometheus_client::{
    ClientError, NoNumber, PrometheusClient, PrometheusError, http_client, http_client_builder,
    install_tls_provider,
};
pub use query_answer::{Answer, Series};

/// How often our own Prometheus scrapes: as often as it takes k6's samples, so
/// that a load of seconds has enough of both.
pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
