//! What the load and its checks need to know of the place, once all of it is set
//! up.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::{EnvironmentError, requests};
use crate::checks::Capabilities;
use crate::metrics::PrometheusClient;
use crate::report::Component;

/// An environment that is ready for a load, as a plain value.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub addresses: Addresses,
    pub capabilities: Capabilities,
    /// The programs that take part.
    pub components: Vec<Component>,
    /// Who is asked for the SLOs and the catalogue.
    pub prometheus: PrometheusClient,
    /// How often it scrapes Tempo.
    pub scrape_interval: Duration,
    /// What a reader of the report should know of the place.
    pub notes: Vec<String>,
    /// For files of the run; removed with the environment.
    pub work_dir: PathBuf,
    /// From being told its load to k6's own start.
    pub k6_start: Duration,
}

/// Addresses that the load needs.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Where k6 posts OTLP/HTTP requests, `…/v1/traces`.
    pub push: Option<Url>,
    /// Base of Tempo's HTTP API, as k6 reaches it.
    pub query: Option<Url>,
    /// Where this process pushes a trace the way that k6 will.
    pub push_from_here: Option<Url>,
}

impl Surroundings {
    /// Waits until Prometheus has a sample of Tempo from `at` or later; where
    /// there are no such samples, not at all.
    ///
    /// # Errors
    /// It has none after several scrapes.
    pub async fn wait_for_scrape(&self, at: Timestamp) -> Result<(), EnvironmentError> {
        match &self.capabilities.tempo_metrics {
            Ok(selector) => {
                requests::wait_for_scrape(&self.prometheus, selector, at, self.scrape_interval)
                    .await
            }
            Err(_) => Ok(()),
        }
    }
}
