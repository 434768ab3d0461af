//! A Tempo that exists: only the load, and a Prometheus to measure it by, run
//! on this machine.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

use super::k6_process::K6Process;
use super::local::{ScrapeJob, prometheus_child};
use super::{Addresses, Environment, EnvironmentError, K6Finished, K6Start, requests};
use crate::checks::Capabilities;
use crate::error_chain::chain;
use crate::metrics::SCRAPE_INTERVAL;
use crate::metrics::exposition::{self, CounterSnapshot};
use crate::metrics::{PrometheusClient, http_client};
use crate::process::{Child, Interrupt, Supervisor, WorkDir};
use crate::report::{Component, OutputDir};
use crate::settings::Settings;
use crate::tools::{ResolvedTool, Tool};

/// With Tempo's defaults a trace is searchable after it was idle (5 s), cut
/// (10 s in 2.10, 5 s in 3.0), and as old as 3.0's query frontend wants (30 s).
const VISIBILITY_DELAY: Duration = Duration::from_secs(45);

const STOP_GRACE: Duration = Duration::from_secs(20);

/// The load on an existing Tempo.
pub struct EndpointEnvironment {
    push: Option<Url>,
    query: Option<Url>,
    k6_tool: ResolvedTool,
    prometheus_tool: ResolvedTool,
    k6: K6Process,
    supervisor: Supervisor,
    interrupt: Interrupt,
    ready_timeout: Duration,
    work_path: PathBuf,
    prometheus: Mutex<Option<(Arc<Child>, u16)>>,
    /// Behind the process that writes there: fields are dropped in order.
    work_dir: Mutex<Option<WorkDir>>,
    /// What Tempo said of itself during the set-up.
    found: Mutex<Found>,
}

#[derive(Debug, Clone, Default)]
struct Found {
    version: String,
    /// Why there are no counters, where there are none.
    no_metrics: Option<String>,
}

impl EndpointEnvironment {
    pub fn new(
        settings: &Settings,
        profile: &str,
        tools: Vec<ResolvedTool>,
        supervisor: Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let find = |tool| super::resolved(&tools, tool);
        let work_dir = supervisor
            .work_dir(super::new_work_dir(profile))
            .map_err(|err| failed(chain(&err)))?;
        let k6_tool = find(Tool::K6)?;
        Ok(Self {
            push: settings
                .tempo_endpoint
                .as_ref()
                .map(|base| below(base, "v1/traces")),
            query: settings.tempo_query_endpoint.clone(),
            k6: K6Process::new(k6_tool.clone(), work_dir.path(), true),
            k6_tool,
            prometheus_tool: find(Tool::Prometheus)?,
            supervisor,
            interrupt,
            ready_timeout: settings.pod_ready_timeout,
            work_path: work_dir.path().to_path_buf(),
            work_dir: Mutex::new(Some(work_dir)),
            prometheus: Mutex::new(None),
            found: Mutex::default(),
        })
    }

    fn log(&self) -> PathBuf {
        self.work_path.join("prometheus.log")
    }
}

fn failed(text: impl Into<String>) -> EnvironmentError {
    EnvironmentError::Failed(text.into())
}

/// `path` below `base`, whether or not `base` names it already.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let prefix = base
        .path()
        .trim_end_matches('/')
        .trim_end_matches(path)
        .trim_end_matches('/');
    url.set_path(&format!("{prefix}/{path}"));
    url
}

#[async_trait(?Send)]
impl Environment for EndpointEnvironment {
    /// Tempo must answer, and say whether its counters can be read.
    async fn check_prerequisites(&self) -> Result<(), EnvironmentError> {
        let Some(query) = &self.query else {
            self.found.lock().expect("no holder panics").no_metrics =
                Some("TEMPO_QUERY_ENDPOINT is not set".into());
            return Ok(());
        };
        let client = http_client(query).map_err(|err| failed(chain(&err)))?;
        let echo = below(query, "api/echo");
        requests::probe(&client, &echo).await.map_err(|err| {
            failed(format!(
                "TEMPO_QUERY_ENDPOINT: {echo} does not answer as Tempo does: {err}; expected the \
                 address of Tempo's HTTP API, for example http://localhost:3200"
            ))
        })?;
        let mut found = Found {
            version: requests::tempo_version(query).await,
            no_metrics: None,
        };
        let metrics = below(query, "metrics");
        found.no_metrics = match exposition::scrape(&metrics).await {
            Ok(snapshot) if snapshot.has("tempo_distributor_push_duration_seconds_count") => None,
            Ok(_) => Some(format!("{metrics} has no metrics of Tempo's distributor")),
            Err(err) => Some(chain(&err)),
        };
        *self.found.lock().expect("no holder panics") = found;
        Ok(())
    }

    async fn set_up_storage(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }

    async fn set_up_tempo(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }

    async fn set_up_collector(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }

    async fn set_up_prometheus(&self) -> Result<(), EnvironmentError> {
        let found = self.found.lock().expect("no holder panics").clone();
        let jobs: Vec<ScrapeJob> = self
            .query
            .iter()
            .filter(|_| found.no_metrics.is_none())
            .filter_map(|query| ScrapeJob::of("tempo", &below(query, "metrics")))
            .collect();
        let started = prometheus_child(
            &self.supervisor,
            &self.interrupt,
            &self.prometheus_tool.path,
            &self.work_path,
            &self.log(),
            &jobs,
            self.ready_timeout,
        )
        .await?;
        *self.prometheus.lock().expect("no holder panics") = Some(started);
        Ok(())
    }

    async fn set_up(&self) -> Result<(), EnvironmentError> {
        self.set_up_prometheus().await
    }

    fn work_dir(&self) -> &Path {
        &self.work_path
    }

    fn components(&self) -> Vec<Component> {
        let found = self.found.lock().expect("no holder panics").clone();
        let address = self.query.as_ref().or(self.push.as_ref());
        let tool = |name: &str, tool: &ResolvedTool| Component {
            name: name.into(),
            version: tool.version.clone(),
            origin: Some(format!("{} ({})", tool.path.display(), tool.origin)),
        };
        vec![
            Component {
                name: "tempo".into(),
                version: found.version,
                origin: address.map(Url::to_string),
            },
            tool("prometheus", &self.prometheus_tool),
            tool("k6", &self.k6_tool),
        ]
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            push: self.push.clone(),
            query: self.query.clone(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let found = self.found.lock().expect("no holder panics").clone();
        Capabilities {
            tempo_metrics: match found.no_metrics {
                None => Ok(super::SELECTOR.into()),
                Some(why) => Err(why.into()),
            },
            collector_metrics: super::COLLECTOR_SELECTOR.into(),
            container_metrics: Err("there are no containers".into()),
            collector_cpu: Err("there is no collector between k6 and this Tempo".into()),
            k6_cores: Ok(None),
            collector_cores: Ok(None),
            visibility_delay: VISIBILITY_DELAY,
            readable_bytes: None,
            read_back: if self.query.is_some() {
                Ok(())
            } else {
                Err("TEMPO_QUERY_ENDPOINT is not set".into())
            },
            stand_in: found
                .version
                .contains("trace-store")
                .then(|| "the built-in trace store, which is not Tempo".into()),
        }
    }

    fn prometheus(&self) -> Option<PrometheusClient> {
        let port = self
            .prometheus
            .lock()
            .expect("no holder panics")
            .as_ref()?
            .1;
        PrometheusClient::new(super::local::local_url(port, ""), None).ok()
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let port = self
            .prometheus
            .lock()
            .expect("no holder panics")
            .as_ref()
            .map(|it| it.1);
        let remote_write = port.map(|port| super::local::local_url(port, "/api/v1/write"));
        self.k6
            .run(&self.supervisor, &self.interrupt, start, remote_write)
            .await
    }

    async fn wait_for_scrape(&self, at: Timestamp) -> Result<(), EnvironmentError> {
        let scraped = self
            .found
            .lock()
            .expect("no holder panics")
            .no_metrics
            .is_none();
        match self.prometheus() {
            Some(prometheus) if scraped => {
                requests::wait_for_scrape(&prometheus, super::SELECTOR, at, SCRAPE_INTERVAL).await
            }
            _ => Ok(()),
        }
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let why = self
            .found
            .lock()
            .expect("no holder panics")
            .no_metrics
            .clone();
        match (&self.query, why) {
            (Some(query), None) => exposition::scrape(&below(query, "metrics"))
                .await
                .map_err(|err| failed(chain(&err))),
            (_, why) => {
                Err(failed(why.unwrap_or_else(|| {
                    "TEMPO_QUERY_ENDPOINT is not set".into()
                })))
            }
        }
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        None
    }

    fn dead_components(&self) -> Vec<String> {
        let prometheus = self.prometheus.lock().expect("no holder panics");
        prometheus
            .iter()
            .filter(|(child, _)| child.try_wait().is_some())
            .map(|(child, _)| {
                format!(
                    "Prometheus ended during the run\n{}",
                    child.describe_failure()
                )
            })
            .collect()
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        super::logs::copy(output, [("prometheus", self.log())])
    }

    async fn tear_down(&self) -> Result<(), EnvironmentError> {
        let prometheus = self.prometheus.lock().expect("no holder panics").take();
        let stopped = match prometheus {
            Some((child, _)) => child
                .stop(STOP_GRACE)
                .await
                .map(|_| ())
                .map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        let work_dir = self.work_dir.lock().expect("no holder panics").take();
        let removed = match work_dir {
            Some(dir) => dir.delete().map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        stopped.and(removed)
    }

    fn how_to_reach_and_stop(&self) -> String {
        let prometheus = self.prometheus.lock().expect("no holder panics");
        let Some((child, port)) = prometheus.as_ref() else {
            return String::new();
        };
        format!(
            "left running:\n  Prometheus       http://127.0.0.1:{port}\n  logs and data    {0}\n\
             to stop and remove it: kill -- -{1}; rm -r {0}\n",
            self.work_path.display(),
            child.pid(),
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("http://tempo:4318", "http://tempo:4318/v1/traces")]
    #[case::slash("http://tempo:4318/", "http://tempo:4318/v1/traces")]
    #[case::prefix("https://host/tempo/", "https://host/tempo/v1/traces")]
    #[case::named_already("http://tempo:4318/v1/traces", "http://tempo:4318/v1/traces")]
    fn the_path_is_added_once(#[case] base: &str, #[case] expected: &str) {
        let base = Url::parse(base).expect("a URL");
        assert_eq!(below(&base, "v1/traces").as_str(), expected);
    }
}
