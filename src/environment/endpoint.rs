//! A Tempo that exists: only the load, and a Prometheus to measure it by, run
//! on this machine.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::k6_process::K6Process;
use super::local::{ScrapeJob, local_url, prometheus_child};
use super::{
    Addresses, Environment, EnvironmentError, K6Finished, K6Start, Part, StageLog, Surroundings,
    failed, requests,
};
use crate::checks::Capabilities;
use crate::error_chain::chain;
use crate::k6::Run;
use crate::metrics::SCRAPE_INTERVAL;
use crate::metrics::exposition::{self, CounterSnapshot};
use crate::metrics::{PrometheusClient, http_client};
use crate::plan::{EndpointSite, Plan};
use crate::process::{Child, Interrupt, Supervisor, WorkDir};
use crate::report::{Component, OutputDir};
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
    work_path: PathBuf,
    /// What Tempo said of itself, once it was asked.
    tempo: Option<TempoSaid>,
    prometheus: Option<LocalPrometheus>,
    /// Behind the process that writes there: fields are dropped in order.
    work_dir: Option<WorkDir>,
}

#[derive(Debug, Clone)]
struct TempoSaid {
    version: String,
    /// Where its counters are; or why there are none.
    metrics: Result<Url, String>,
}

/// A Prometheus of ours on this machine.
struct LocalPrometheus {
    child: Child,
    port: u16,
}

impl EndpointEnvironment {
    pub fn new(
        plan: &Plan,
        site: &EndpointSite,
        tools: Vec<ResolvedTool>,
        supervisor: Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let find = |tool| super::resolved(&tools, tool);
        let work_dir = supervisor
            .work_dir(super::new_work_dir(&plan.profile.name))
            .map_err(|err| failed(chain(&err)))?;
        let k6_tool = find(Tool::K6)?;
        Ok(Self {
            push: site.push.as_ref().map(|base| below(base, "v1/traces")),
            query: site.query.clone(),
            k6: K6Process::new(k6_tool.clone(), work_dir.path(), true),
            k6_tool,
            prometheus_tool: find(Tool::Prometheus)?,
            supervisor,
            interrupt,
            work_path: work_dir.path().to_path_buf(),
            tempo: None,
            prometheus: None,
            work_dir: Some(work_dir),
        })
    }

    fn log(&self) -> PathBuf {
        self.work_path.join("prometheus.log")
    }

    fn tempo(&self) -> Result<&TempoSaid, EnvironmentError> {
        self.tempo
            .as_ref()
            .ok_or_else(|| failed("Tempo was not asked yet"))
    }

    /// Tempo must answer, and say whether its counters can be read.
    async fn ask_tempo(&self) -> Result<TempoSaid, EnvironmentError> {
        let Some(query) = &self.query else {
            return Ok(TempoSaid {
                version: String::new(),
                metrics: Err("TEMPO_QUERY_ENDPOINT is not set".into()),
            });
        };
        let client = http_client(query).map_err(|err| failed(chain(&err)))?;
        let echo = below(query, "api/echo");
        requests::probe(&client, &echo).await.map_err(|err| {
            failed(format!(
                "TEMPO_QUERY_ENDPOINT: {echo} does not answer as Tempo does: {err}; expected the \
                 address of Tempo's HTTP API, for example http://localhost:3200"
            ))
        })?;
        let version = requests::tempo_version(query).await;
        let metrics = below(query, "metrics");
        let metrics = match exposition::scrape(&metrics).await {
            Ok(found) if found.has("tempo_distributor_push_duration_seconds_count") => Ok(metrics),
            Ok(_) => Err(format!("{metrics} has no metrics of Tempo's distributor")),
            Err(err) => Err(chain(&err)),
        };
        Ok(TempoSaid { version, metrics })
    }

    async fn start_prometheus(&self, plan: &Plan) -> Result<LocalPrometheus, EnvironmentError> {
        let metrics = self.tempo()?.metrics.as_ref().ok();
        let jobs: Vec<ScrapeJob> = metrics
            .and_then(|url| ScrapeJob::of("tempo", url))
            .into_iter()
            .collect();
        let (child, port) = prometheus_child(
            &self.supervisor,
            &self.interrupt,
            &self.prometheus_tool.path,
            &self.work_path,
            &self.log(),
            &jobs,
            plan.ready_timeout,
        )
        .await?;
        Ok(LocalPrometheus { child, port })
    }

    fn components(&self, tempo: &TempoSaid) -> Vec<Component> {
        let address = self.query.as_ref().or(self.push.as_ref());
        let tool = |name: &str, tool: &ResolvedTool| Component {
            name: name.into(),
            version: tool.version.clone(),
            origin: Some(format!("{} ({})", tool.path.display(), tool.origin)),
        };
        vec![
            Component {
                name: "tempo".into(),
                version: tempo.version.clone(),
                origin: address.map(Url::to_string),
            },
            tool("prometheus", &self.prometheus_tool),
            tool("k6", &self.k6_tool),
        ]
    }

    fn capabilities(&self, tempo: &TempoSaid) -> Capabilities {
        Capabilities {
            tempo_metrics: match &tempo.metrics {
                Ok(_) => Ok(super::SELECTOR.into()),
                Err(why) => Err(why.clone().into()),
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
            stand_in: super::stand_in(&tempo.version),
        }
    }
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
    async fn look(&mut self, _plan: &Plan) -> Result<Duration, EnvironmentError> {
        // Once: Prometheus scrapes by the first answer, and a later one that fails
        // must not take checks from a run.
        if self.tempo.is_none() {
            self.tempo = Some(self.ask_tempo().await?);
        }
        Ok(SCRAPE_INTERVAL)
    }

    async fn set_up(
        &mut self,
        plan: &Plan,
        parts: &[Part],
        _stages: &StageLog,
    ) -> Result<(), EnvironmentError> {
        // Tempo, its storage and what is in front of it exist already.
        if parts.contains(&Part::Prometheus) {
            self.prometheus = Some(self.start_prometheus(plan).await?);
        }
        Ok(())
    }

    async fn prepare(
        &mut self,
        _plan: &Plan,
        _runs: &[Run],
    ) -> Result<Surroundings, EnvironmentError> {
        let tempo = self.tempo()?;
        let prometheus = self.prometheus.as_ref();
        let port = prometheus
            .ok_or_else(|| failed("Prometheus is not running"))?
            .port;
        Ok(Surroundings {
            addresses: Addresses {
                push: self.push.clone(),
                query: self.query.clone(),
                push_from_here: self.push.clone(),
            },
            capabilities: self.capabilities(tempo),
            components: self.components(tempo),
            prometheus: PrometheusClient::new(local_url(port, ""), None)
                .map_err(|err| failed(chain(&err)))?,
            scrape_interval: SCRAPE_INTERVAL,
            notes: Vec::new(),
            work_dir: self.work_path.clone(),
            k6_start: Duration::ZERO,
        })
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let port = self.prometheus.as_ref().map(|prometheus| prometheus.port);
        let remote_write = port.map(|port| local_url(port, "/api/v1/write"));
        self.k6
            .run(&self.supervisor, &self.interrupt, start, remote_write)
            .await
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let url = self.tempo()?.metrics.as_ref().map_err(failed)?;
        exposition::scrape(url)
            .await
            .map_err(|err| failed(chain(&err)))
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        None
    }

    fn ended_components(&self) -> Vec<String> {
        self.prometheus
            .iter()
            .filter(|prometheus| prometheus.child.try_wait().is_some())
            .map(|prometheus| {
                format!(
                    "Prometheus ended during the run\n{}",
                    prometheus.child.describe_failure()
                )
            })
            .collect()
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        super::logs::copy(output, [("prometheus", self.log())])
    }

    async fn tear_down(&mut self, _stages: &StageLog) -> Result<(), EnvironmentError> {
        let stopped = match self.prometheus.take() {
            Some(prometheus) => prometheus
                .child
                .stop(STOP_GRACE)
                .await
                .map(|_| ())
                .map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        let removed = match self.work_dir.take() {
            Some(dir) => dir.delete().map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        stopped.and(removed)
    }

    fn leave_running(&mut self) -> String {
        let Some(LocalPrometheus { child, port }) = &self.prometheus else {
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
